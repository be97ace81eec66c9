"""A Ray on loopback that stands before a sweep begins, as on a user's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

OF_LOOPBACK = {
    "RAY_AUTH_MODE": "disabled",
    # without it drivers look for a raylet at the machine's own address
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@contextmanager
def loopback(num_cpus: int) -> Iterator[Any]:
    """Nodes (ray.cluster_utils.Cluster), of which the head has `num_cpus` CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in OF_LOOPBACK.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        nodes = Cluster(
            initialize_head=True, head_node_args={"num_cpus": num_cpus, "include_dashboard": False}
        )
    try:
        yield nodes
    finally:
        nodes.shutdown()
