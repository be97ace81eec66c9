"""TensorBoard, MLflow and Weights & Biases: Ray Tune's own callbacks, named by the sweep's `track`.

Where a tracker listens, and its key, are the environment's business: a sweep file holds neither.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from recscale.spec import SweepSpec
from recscale.specfile import SpecError

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


def require_trackers(spec: SweepSpec) -> None:
    """Raises SpecError for a tracker whose package is not installed. Imports none of them."""
    missing = [t for t in spec.track if find_spec(PACKAGES[t]) is None]
    if missing:
        packages = " ".join(PACKAGES[t] for t in missing)
        raise SpecError(
            [
                f"track: {', '.join(missing)}: not installed where the sweep's driver runs; "
                f"`pip install {packages}` there, or take it out of `track`"
            ]
        )


def tracker_callbacks(spec: SweepSpec, run_dir: str) -> list[Any]:
    """A Tune callback for each tracker that the sweep names; their runs bear the run ids."""
    made = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    return [made[tracker](spec, run_dir) for tracker in spec.track]


def _tensorboard(spec: SweepSpec, run_dir: str) -> Any:
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()


def _mlflow(spec: SweepSpec, run_dir: str) -> Any:
    """Into MLFLOW_TRACKING_URI, else into files beside the ledger."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    uri = os.environ.get("MLFLOW_TRACKING_URI", f"{run_dir}/mlruns")
    return MLflowLoggerCallback(tracking_uri=uri, experiment_name=spec.name)


def _wandb(spec: SweepSpec, run_dir: str) -> Any:
    """As WANDB_API_KEY, or the login of the driver's machine, allows."""
    from ray.air.integrations.wandb import WandbLoggerCallback

    return WandbLoggerCallback(project=spec.name)
