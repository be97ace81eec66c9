"""CPU seconds of one decision of the search at 200 records and 2,048 candidates.

OMP_NUM_THREADS=1 python tests/benchmarks/search_speed.py
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from planted_study import DATA, record  # noqa: E402

from recscale.planner import Launch, Planned, Progress, decide_search, problem  # noqa: E402
from recscale.specfile import parse_spec  # noqa: E402

SWEEP = """
name: speed
data: {source: synthetic}
model:
  family: dlrm
  embedding_dim: [4, 8, 16, 32, 64, 128, 256, 512]
  mlp_width: [16, 32, 48, 64, 96, 128, 192, 256]
  sequence_depth: [0, 1, 2, 4]
train: {data_fraction: [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0], batch_size: 512}
search: {strategy: frontier, target: {flop: 30x}}
budget: {flop: 1e17}
"""


def main() -> None:
    hunt = problem(parse_spec(SWEEP), DATA)
    rng = np.random.default_rng(0)
    decided, attempts = [], []
    for i in rng.choice(len(hunt.points), 200, replace=False):
        point = hunt.points[i]
        config = point.config(hunt.spec, DATA, 1.0, 0)
        decided.append(Planned(config, point.cost, "a record"))
        attempts.append(record(decided[-1]))
    decide_search(hunt, Progress(attempts, decided))  # what is made once a sweep
    started = time.process_time()
    for n in range(196, 200):
        assert isinstance(decide_search(hunt, Progress(attempts[:n], decided[:n])), Launch)
    each = (time.process_time() - started) / 4
    print(f"{len(hunt.points)} candidates, 200 records: {each:.3f} CPU s a decision")


if __name__ == "__main__":
    main()
