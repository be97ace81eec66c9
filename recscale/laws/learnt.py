"""What published tables of runs say of predictions in general, before any run of one's own.

Source: tests/benchmarks/laws_learn.py, 2026-11-30: the constants maximise the log score of runs
beyond those a law was fitted to, in compute, in one variable and in all, over eight suites of
published runs, each suite and class of distance counting alike. Constants learnt on one half of
the suites and judged on the other came to the same; the benchmark prints both.
"""

from __future__ import annotations

TRUST_CHEAP = 0.30
"""By how much log densities of forecasts made from the cheapest runs count: the errors of one
extrapolation, and of origins that share runs, are far from independent."""
TRUST_SMALL = 0.35
"""The same of forecasts made from the runs that are small in one variable."""
SPREAD = 0.60
"""Factor on the standard deviation of the expected loss that the combinations give: .5 scores best,
and too narrow for runs of a law that is exact, which intervals at .6 hold."""
FLOOR = 0.65
"""Standard deviation of what no combination sees, of the spread of the runs about the law."""
DRIFT = 0.50
"""The same for each decade beyond the runs, of the amplitude that the runs' own forecasts bear
out: how far real losses keep from the law near the runs says how fast they leave it beyond."""
