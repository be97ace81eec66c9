"""What published tables of runs say of predictions in general, before any run of one's own.

Source: tests/benchmarks/laws_learn.py, 2026-11-30, which learns them by the log score of runs
beyond those a law was fitted to, in compute, in one variable and in all, over eight suites of
published runs, each suite and class of distance counting alike, and judges those of one half of the
suites on the other. These were then set near the ones learnt on all, on the side of intervals that
hold.
"""

from __future__ import annotations

TRUST = 0.3
"""By how much the log densities of forecasts count: the errors of one extrapolation, and of origins
that share runs, are far from independent. .17 scores best on published tables by little; at .3
intervals of runs that follow an exact law are half as wide."""
SPREAD = 0.60
"""Factor on the standard deviation of the expected loss that the combinations give."""
FLOOR = 0.87
"""Standard deviation of what no combination sees, of the spread of the runs about the law."""
DRIFT = 0.50
"""The same for each decade beyond the runs, of the amplitude that the runs' own forecasts bear
out: how far real losses keep from the law near the runs says how fast they leave it beyond."""
