"""Nodes of `local-fake.yaml`: Ray's own fake nodes, each with a folder of its own.

Ray lets its fake nodes share the head's folder, and a node that starts then unpacks a job's upload
over the copy that the driver stands in. Machines do not share folders, so these nodes do not.
"""

from __future__ import annotations

import tempfile
import threading
from typing import Any

import ray._private.parameter as parameter
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

_one_at_a_time = threading.Lock()


class LocalNodes(FakeMultiNodeProvider):
    def _create_node_with_resources_and_labels(self, *args: Any, **kwargs: Any) -> None:
        plain = parameter.RayParams
        with _one_at_a_time:
            folder = tempfile.mkdtemp(prefix="ray-node-")
            parameter.RayParams = lambda **k: plain(temp_dir=folder, **k)  # type: ignore
            try:
                super()._create_node_with_resources_and_labels(*args, **kwargs)
            finally:
                parameter.RayParams = plain
