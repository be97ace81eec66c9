#!/usr/bin/env bash
# torchrec's normalised entropy of a set without clicks is a large finite number, not undefined.
#
# NE divides by the entropy of the set's own click rate, which is 0 where only one class is present.
# The denominator is then whatever the clamp eta leaves of it, so the metric says 1e10 for a model
# that predicts 1 % everywhere, and a hundred times that for another eta. Nothing in it is NaN or
# infinite, so a guard by isfinite passes it, and one hour without clicks ruins a mean over hours.
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
from torchrec.metrics.ne import compute_cross_entropy, compute_ne

print({p: version(p) for p in ("torch", "torchrec")})


def ne(eta: float) -> float:
    """Of 100 rows without a click, each predicted as 1 %."""
    labels = torch.zeros(1, 100, dtype=torch.float64)
    predicted, weights = torch.full_like(labels, 0.01), torch.ones_like(labels)
    cross = compute_cross_entropy(labels, predicted, weights, eta).sum(-1)
    positive, negative = labels.sum(-1), (1 - labels).sum(-1)
    return compute_ne(cross, weights.sum(-1), positive, negative, eta).item()


found = {eta: ne(eta) for eta in (1e-10, 1e-12)}
print("NE of 100 rows without a click, by eta:", {k: f"{v:.4g}" for k, v in found.items()})
finite = all(1e6 < v < 1e15 for v in found.values())
apart = found[1e-12] / found[1e-10]
print(f"finite: {finite}; the two differ {apart:.0f} times")
sys.exit(0 if finite and apart > 10 else "this behaviour has changed")
PY
