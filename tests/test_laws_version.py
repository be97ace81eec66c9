"""Predictions of the same runs are the same under one LAW_VERSION."""

import numpy as np
import pandas as pd
import pytest

from recscale.laws import LAW_VERSION, fit

# version, then median and ends of the 90 % interval at the two points
TOLD = (1, [[0.716291, 0.712073, 0.720092], [0.667729, 0.659766, 0.676374]])


def test_another_prediction_is_another_version():
    """Raise LAW_VERSION and set TOLD anew when a change moves what is predicted."""
    rng = np.random.default_rng(0)
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e4, 1e6, 5), np.geomspace(1e5, 1e7, 4)))
    loss = 0.6 + 2 / N**0.25 + 8 / D**0.3
    loss = loss * np.exp(0.002 * rng.standard_normal(len(N)))
    law = fit(pd.DataFrame({"N": N, "D": D, "loss": loss}), "additive", ["N", "D"])
    told = law.predict(pd.DataFrame({"N": [1e6, 1e7], "D": [2e7, 1e8]}))
    version, expected = TOLD
    assert version == LAW_VERSION
    assert told[["mean", "low", "high"]].to_numpy() == pytest.approx(np.array(expected), rel=1e-4)
