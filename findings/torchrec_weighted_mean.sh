#!/usr/bin/env bash
# A bag with weights and mean pooling has three answers in torchrec, and none is the weighted mean.
#
# The plain EmbeddingBagCollection refuses it (torch's embedding_bag knows weights for sums only);
# the fused collection, which sharding puts in its place, answers sum(w x) / count: weights of 1 and
# 3 on rows of 1 and 2 give 3.5, above both rows, where a weighted mean is 1.75. So a model that
# cannot be tried before it is sharded trains afterwards, with vectors whose length grows with the
# weights. A weighted mean needs the weights divided by their sum beforehand, and sum pooling.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "torch==2.13.0"
"$place/venv/bin/pip" install -q "fbgemm-gpu-cpu==1.8.0" numpy==2.4.6 tensordict==0.15.3 \
  "torchmetrics==1.0.3" pyre-extensions==0.0.32 tqdm pandas pyyaml
"$place/venv/bin/pip" install -q --no-deps "torchrec==1.8.0"
"$place/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from torchrec.modules.embedding_configs import EmbeddingBagConfig, PoolingType
from torchrec.modules.embedding_modules import EmbeddingBagCollection
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

print({p: version(p) for p in ("torch", "torchrec", "fbgemm-gpu-cpu")})
rows = torch.tensor([[1.0] * 4, [2.0] * 4, [3.0] * 4])
bag = KeyedJaggedTensor(
    keys=["f"],
    values=torch.tensor([0, 1]),
    lengths=torch.tensor([2], dtype=torch.int32),
    weights=torch.tensor([1.0, 3.0]),
)
table = EmbeddingBagConfig(
    name="t", embedding_dim=4, num_embeddings=3, feature_names=["f"], pooling=PoolingType.MEAN
)
plain = EmbeddingBagCollection(tables=[table], is_weighted=True)
try:
    seen = f"answers {plain(bag)['f'].tolist()}"
except NotImplementedError:
    seen = "NotImplementedError"
fused = FusedEmbeddingBagCollection(
    tables=[table], is_weighted=True, optimizer_type=torch.optim.SGD, optimizer_kwargs={"lr": 0.1}
)
with torch.no_grad():
    for _, parameter in fused.named_parameters():
        parameter.copy_(rows)
pooled = fused(bag)["f"][0, 0].item()
print(f"weights 1 and 3 on rows of 1 and 2, mean pooling: plain collection: {seen}; "
      f"fused collection: {pooled}; sum(w x) / count = 3.5; weighted mean = 1.75")
sys.exit(0 if (seen, pooled) == ("NotImplementedError", 3.5) else "this behaviour has changed")
PY
