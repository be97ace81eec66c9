"""How wide will the interval be that planned runs give? Said before any loss is known, and after.

    python tests/benchmarks/foresight.py

For splits of the published tables (`suites.py`, at most 12 a suite): the expected half-width of
the 90 % interval at the held-out runs, from where the fitted runs lie alone, of losses that follow
a law exactly and of such as depart from it (`planner/typical.py`), beside that of the belief after
their real losses. Printed: mean of log(expected / real) by suite and by class of distance.

Run of 2026-12-01, exact / departing: chosen on datablations -1.85 / -.25, epoch -.31 / +.51, gadre
-1.65 / -.16, routing -1.19 / -.27, in the mean -1.25 / -.04; judged on porian -1.98 / -.71, rates
+.14 / +.59, sparsity -.82 / -.65, srt +.65 / +.67, in the mean -.50 / -.03. So one table's interval
comes out at half to twice the second figure; 16 times the compute at .4 to .5 of what it will be.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
from suites import splits

from recscale.laws.choice import build
from recscale.laws.inference import belief_of
from recscale.laws.modes import Sample
from recscale.laws.points import check, undetermined
from recscale.planner.foresight import LEVEL, expected_half

CHOSEN = ("datablations", "epoch", "gadre", "routing")  # whose mean the departure was set by
EACH = 12  # splits of a suite


def main() -> None:
    rows, every = [], defaultdict(list)
    for s in splits():
        every[s.suite].append(s)
    few = (
        np.unique(np.linspace(0, len(of) - 1, EACH).round().astype(int)) for of in every.values()
    )
    for s in (of[i] for of, at in zip(every.values(), few, strict=True) for i in at):
        points = check(s.fitted, s.variables, "loss")
        if undetermined(points, build("additive", points)):
            continue
        at = np.log(s.predicted[list(s.variables)].to_numpy(float))
        order = np.argsort(points.rank, kind="stable")
        sample = Sample(points.logx, np.log(points.y), np.zeros(points.n), order)
        _, low, high = belief_of(build("additive", points), sample).interval(at, LEVEL)
        after = np.log(np.log(high / low).mean() / 2)
        exact, departing = (
            np.log(expected_half("additive", points, at, departing=d)) - after
            for d in (False, True)
        )
        rows.append(
            {
                "suite": s.suite,
                "half": "chosen" if s.suite in CHOSEN else "judged",
                "kind": s.kind,
                "beyond": s.beyond,
                "exact": exact,
                "departing": departing,
            }  # fmt: skip
        )
    found = pd.DataFrame(rows)
    for keys in (["half", "suite"], ["half", "kind", "beyond"]):
        parts = found.groupby(keys)[["exact", "departing"]]
        told = pd.DataFrame(parts.mean()).join(parts.std().add_suffix(" sd"))
        print(told.to_string(float_format="{:.2f}".format), end="\n\n")
    suites = found.groupby(["half", "suite"])[["exact", "departing"]].mean()
    told = pd.DataFrame(suites.groupby("half").mean())
    print("mean of suites", told.to_string(float_format="{:.2f}".format), sep="\n")


if __name__ == "__main__":
    main()
