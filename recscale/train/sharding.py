"""From a model to a trainable one: tables sharded over the workers of a process group, and
initial values that depend on the seed alone, never on how many workers there are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from fbgemm_gpu.split_table_batched_embeddings_ops_common import BoundsCheckMode
from torch import nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embedding_types import EmbeddingComputeKernel
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
from torchrec.distributed.types import ShardingType
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from recscale.train.lookups import in_place

INIT_ROWS = 65_536  # rows drawn at once: a shard draws only the blocks that it overlaps


def ensure_process_group() -> None:
    """A process group of this process alone, unless it already belongs to one. It lives in
    memory: no port, and a reused trial actor keeps it."""
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)


def shard(model: nn.Module, sparse_rate: float, seed: int, device: torch.device):
    """The model under torchrec's DistributedModelParallel: fbgemm's fused look-ups with row-wise
    Adagrad inside, dense layers replicated. One CPU worker reads and updates its tables itself
    (`recscale.train.lookups`). Every rank of the default process group calls this."""
    world = dist.get_world_size()
    configs = {
        name: m.embedding_bag_configs()
        if isinstance(m, EmbeddingBagCollection)
        else m.embedding_configs()
        for name, m in model.named_modules()
        if isinstance(m, EmbeddingBagCollection | EmbeddingCollection)
    }
    for place in configs:
        tables = model.get_submodule(place).parameters()
        apply_optimizer_in_backward(RowWiseAdagrad, tables, {"lr": sparse_rate})
    names = [c.name for each in configs.values() for c in each]
    # Only fused kernels, and never data_parallel, which the planner would choose for small tables
    # and which trains them with a dense optimiser. An id outside its table is an error; by default
    # fbgemm says a word on stderr and trains row 0.
    alone = world == 1
    by_rows = [] if alone else [ShardingType.ROW_WISE.value]
    constraint = ParameterConstraints(
        bounds_check_mode=BoundsCheckMode.FATAL,
        sharding_types=[ShardingType.TABLE_WISE.value, *by_rows],
        compute_kernels=[EmbeddingComputeKernel.FUSED.value],
    )
    sharders = [EmbeddingBagCollectionSharder(), EmbeddingCollectionSharder()]
    planner = EmbeddingShardingPlanner(
        topology=Topology(
            world_size=world,
            local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE", world)),
            compute_device=device.type,
        ),
        constraints=dict.fromkeys(names, constraint),
    )
    plan = planner.collective_plan(model, sharders, dist.group.WORLD)  # type: ignore[arg-type]
    sharded = DistributedModelParallel(
        model,
        device=device,
        plan=plan,
        sharders=sharders,  # type: ignore[arg-type]
        init_data_parallel=not alone,  # nothing to average
    )
    if alone and device.type == "cpu":
        for place, tables in configs.items():
            in_place(sharded.module.get_submodule(place), tables)
    initialise_tables(sharded, seed)
    return sharded


def initialise_tables(sharded: nn.Module, seed: int) -> None:
    """Uniform in +-1/sqrt(rows) (DLRM, 1906.00091), or in +-1/dim where that is less: a normalised
    vector's product with any row is then below 1, so that a tied output layer starts at a guess
    among all items. The same numbers for any sharding."""
    with torch.no_grad():
        for _, here, drawn in blocks(sharded, seed):
            here.copy_(drawn)


def blocks(sharded: nn.Module, seed: int) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """(name of the weight, rows of it that lie on this rank, what they were at the beginning), a
    block at a time, for every table."""
    for name, value in sharded.state_dict().items():
        if isinstance(value, ShardedTensor):
            rows, dim = value.size()
            for piece in value.local_shards():
                top, left = piece.metadata.shard_offsets
                height, width = piece.metadata.shard_sizes
                for begin in range(top - top % INIT_ROWS, top + height, INIT_ROWS):
                    block = _block(name, seed, begin, min(INIT_ROWS, rows - begin), dim, rows)
                    lo, hi = max(begin, top), min(begin + INIT_ROWS, top + height, rows)
                    drawn = block[lo - begin : hi - begin, left : left + width]
                    yield name, piece.tensor[lo - top : hi - top], drawn


def _block(name: str, seed: int, begin: int, count: int, dim: int, rows: int) -> torch.Tensor:
    digest = hashlib.sha256(f"{seed}/{name}/{begin}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    bound = min(rows**-0.5, 1 / dim)
    return torch.empty(count, dim).uniform_(-bound, bound, generator=generator)
