"""Several worker processes of one gloo group, without Ray."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable

import torch
import torch.multiprocessing as mp


def spawn(work: Callable[..., None], world: int, *args: object) -> None:
    """work(rank, world, *args) in `world` processes. Raises what the first to fail raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, (world, port, work, args), nprocs=world)


def quiet() -> None:
    """What torch and torchrec warn of in every training is not said, in this process."""
    warnings.simplefilter("ignore")
    logging.getLogger("torchrec").setLevel(logging.ERROR)


def _rank(rank: int, world: int, port: int, work: Callable[..., None], args: tuple) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    quiet()
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
    work(rank, world, *args)
    torch.distributed.destroy_process_group()
    # Not by way of Python's end: DistributedDataParallel keeps gloo's threads, and one that still
    # lets go of a tensor then aborts the process (pytorch/pytorch 179291).
    os._exit(0)
