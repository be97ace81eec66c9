#!/usr/bin/env bash
# A Delta table read through deltalake gives its newest append first.
#
# Ten appends of a log, each an hour later than the one before, come back last hour first from
# to_pyarrow_dataset, and so from every reader that takes its fragments in order: a log that was
# written in time order is not read in time order, and rows of one moment stand the other way round.
# "The order of the file" means nothing for such a table; only a column says which row came first.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "deltalake==1.6.6" "pyarrow==26.0.1"
"$place/venv/bin/python" - "$place/log" <<'PY'
import sys
from importlib.metadata import version

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

place = sys.argv[1]
print({p: version(p) for p in ("deltalake", "pyarrow")})
for hour in range(10):
    write_deltalake(place, pa.table({"hour": [hour] * 3, "row": [0, 1, 2]}), mode="append")
read = DeltaTable(place).to_pyarrow_dataset().to_table()
hours = list(dict.fromkeys(read["hour"].to_pylist()))
print(f"appended by hour: {list(range(10))}; read: {hours}")
rows = read.filter(pa.compute.equal(read["hour"], 3))["row"].to_pylist()
print(f"rows within one append: {rows}")
sys.exit(0 if hours == list(range(9, -1, -1)) and rows == [0, 1, 2] else "this behaviour has changed")
PY
