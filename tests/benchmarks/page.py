"""What the page of a large sweep costs: `python tests/benchmarks/page.py [RUNS]`.

A ledger of 10,000 simulated runs of a planted law is written to a temporary folder; printed are the
seconds in which it is read and its page made, and the page's bytes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from planted_study import DATA, record  # noqa: E402

from recscale.ledger import Ledger  # noqa: E402
from recscale.planner import planned_runs  # noqa: E402
from recscale.report.page import render  # noqa: E402
from recscale.specfile import parse_spec  # noqa: E402
from recscale.study import Study, plan_entry  # noqa: E402

SWEEP = """
name: many
data: {source: synthetic}
model:
  family: dlrm
  embedding_dim: [4, 8, 16, 32, 64]
  mlp_width: [32, 64, 128, 256, 512]
  sequence_depth: [0, 1, 2, 3]
train:
  data_fraction: [0.02, 0.1, 0.2, 0.4, 1.0]
  batch_size: 512
  seeds: 2
  learning_rate: {tune: [RATES]}
law: {form: additive, variables: [table_params, dense_params, samples], loss: eval_ne}
budget: {flop: 1e21}
"""
AT_ONCE = 5000
"""Runs that one sweep file may plan; twice as many come of two."""
RATES = ("1, 3, 0.3, 10, 0.1", "2, 5, 0.5, 7, 0.2")


def many(folder: Path, runs: int) -> None:
    specs = [parse_spec(SWEEP.replace("RATES", rates)) for rates in RATES]
    planned = [p for spec in specs for p in planned_runs(spec, DATA)][:runs]
    ledger = Ledger(folder)
    ledger.append("plan", **plan_entry(specs[0], DATA, planned))
    for p in planned:
        ledger.record(record(p))


def main(runs: int) -> None:
    folder = Path(tempfile.mkdtemp())
    many(folder, runs)
    start, cpu = time.perf_counter(), time.process_time()
    study = Study.open(str(folder))
    opened = time.perf_counter()
    page = render(study)
    done = time.perf_counter()
    print(
        f"{len(study.records):,} runs: read in {opened - start:.1f} s, page in "
        f"{done - opened:.1f} s ({time.process_time() - cpu:.1f} s of CPU together), "
        f"{len(page.encode()) / 1e6:.2f} MB"
    )
    (folder / "report.html").write_text(page)
    print(folder / "report.html")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
