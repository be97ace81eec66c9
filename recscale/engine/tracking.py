"""TensorBoard, MLflow and Weights & Biases: Ray Tune's own callbacks, named by the sweep's `track`.

Where a tracker listens, and its key, are the environment's business: a sweep file holds neither.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any

from recscale.spec import SweepSpec
from recscale.specfile import SpecError
from recscale.words import shown

MLFLOW = re.compile(r"[/\w.\- ]{1,240}")
"""Names of losses all of whose label's metrics mlflow takes: up to 250 of these characters
(mlflow/utils/validation.py; newer versions also take a colon)."""
PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


def require_trackers(spec: SweepSpec) -> None:
    """Raises SpecError for a tracker that is not installed or has no address. Imports none."""
    missing = [t for t in spec.track if find_spec(PACKAGES[t]) is None]
    if missing:
        packages = " ".join(PACKAGES[t] for t in missing)
        raise SpecError(
            [
                f"track: {', '.join(missing)}: not installed where the sweep's driver runs; "
                f"`pip install {packages}` there, or take it out of `track`"
            ]
        )
    losses = getattr(spec.log, "label_losses", ())
    unnamed = [c for c in losses if not MLFLOW.fullmatch(c)] if "mlflow" in spec.track else []
    if unnamed:
        raise SpecError(
            [
                f"track: mlflow: takes no metric called {shown(unnamed[0])}: names of at most 250 "
                "letters, digits, spaces and _ - . /; rename that label's column, or take mlflow "
                "out of `track`"
            ]
        )
    if "mlflow" in spec.track and "MLFLOW_TRACKING_URI" not in os.environ:
        raise SpecError(
            [
                "track: mlflow: MLFLOW_TRACKING_URI is not set where the sweep's driver runs; "
                "export the address of your server there, or take it out of `track`"
            ]
        )


def tracker_callbacks(spec: SweepSpec) -> list[Any]:
    """A Tune callback for each tracker that the sweep names; their runs bear the run ids."""
    made = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _wandb}
    return [made[tracker](spec) for tracker in spec.track]


def _tensorboard(spec: SweepSpec) -> Any:
    from ray.tune.logger import TBXLoggerCallback

    return TBXLoggerCallback()


def _mlflow(spec: SweepSpec) -> Any:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    uri = os.environ["MLFLOW_TRACKING_URI"]
    return MLflowLoggerCallback(tracking_uri=uri, experiment_name=spec.name)


def _wandb(spec: SweepSpec) -> Any:
    """As WANDB_API_KEY, or the login of the driver's machine, allows."""
    from ray.air.integrations.wandb import WandbLoggerCallback

    return WandbLoggerCallback(project=spec.name)
