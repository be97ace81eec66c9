"""Notices that a node is about to be taken away: a spot reclaim, or the autoscaler's own drain."""

from __future__ import annotations

import time

POLL_S = 5.0
"""Seconds between looks, as Ray Train's own watcher has them."""
UNKNOWN_S = 120.0
"""Assumed where a notice names no deadline: what AWS gives a spot instance, and Train assumes."""


def _left(deadline_ms: int | None) -> float:
    """Seconds until `deadline_ms` of the Unix clock; 0 or None is a notice without a deadline."""
    return deadline_ms / 1000 - time.time() if deadline_ms else UNKNOWN_S


class NodeDrain:
    """Called by the training: seconds until this process's node is taken away, or None. Train's
    own `get_preemption_info` would make all ranks meet in an actor at every look."""

    def __init__(self) -> None:
        self.looked_at = -POLL_S
        self.deadline_ms: int | None = None
        self.noticed = False

    def __call__(self) -> float | None:
        import ray
        from ray._private.state import state  # what Train's own watcher asks; nothing public does

        if time.monotonic() - self.looked_at >= POLL_S:
            self.looked_at = time.monotonic()
            draining = state.get_draining_nodes()
            here = ray.get_runtime_context().get_node_id()
            self.noticed, self.deadline_ms = here in draining, draining.get(here)
        return _left(self.deadline_ms) if self.noticed else None
