"""How much of one variable it takes to come near the loss that the law has without end of it.

The data efficiency of a model size as production measures it (2410.18111): the samples after which
more of them change the loss by less than a share.
"""

from __future__ import annotations

import numpy as np

from recscale.laws.law import ScalingLaw

ENDLESS = 460.0  # log of a variable that a power law has no shortage of: 200 decades
BEYOND = 6.0  # decades past the largest run after which a number means nothing
GRID = 400  # values between, .03 decades apart at most
DRAWS = 200


def needed(
    law: ScalingLaw, logx: np.ndarray, variable: int, within: float, level: float
) -> np.ndarray:
    """Of each log point (m, p), whose value of `variable` does not count: the value from which on
    the loss lies within a share `within` of its limit, and the ends of an interval of it from the
    constants' draws, (m, 3); infinite where that is more than BEYOND decades past the largest run.
    """
    x = law.points.logx[:, variable]
    grid = np.linspace(x.min() - np.log(10), x.max() + BEYOND * np.log(10), GRID)
    theta = np.concatenate([law.theta[None], law.resampled[:DRAWS]])
    tail = (1 - level) / 2
    rows = []
    for point in logx:
        at = np.repeat(point[None], GRID + 1, 0)
        at[:, variable] = [*grid, ENDLESS]
        loss = law.model.evaluate(theta, at)[0]
        over = np.log(np.maximum(loss[:, :-1] / loss[:, -1:] - 1, 1e-300))  # falls with the grid
        found = np.exp([_crossing(grid, row, np.log(within)) for row in over])
        low, high = np.quantile(found[1:], [tail, 1 - tail], method="nearest")
        rows.append((found[0], min(low, found[0]), max(high, found[0])))
    return np.array(rows)


def _crossing(grid: np.ndarray, over: np.ndarray, limit: float) -> float:
    """Where a falling curve passes the limit; the first value where it lies below, inf where it
    never does."""
    under = over <= limit
    if not under.any():
        return np.inf
    at = int(np.argmax(under))
    if at == 0:
        return float(grid[0])
    share = (over[at - 1] - limit) / (over[at - 1] - over[at])
    return float(grid[at - 1] + share * (grid[at] - grid[at - 1]))
