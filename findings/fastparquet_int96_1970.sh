#!/usr/bin/env bash
# fastparquet's int96 puts the times of a pandas 3 frame into January 1970, silently.
#
# pandas 3 keeps times in microseconds where pandas 2 had nanoseconds. fastparquet, asked for
# times="int96" (what Spark, Hive and Impala of some years ago read), writes the column's integers as
# if they were nanoseconds: 2024-10-27 becomes 1970-01-21, and every difference of times shrinks by a
# thousand. The order of the rows survives, so nothing looks broken: sessions, hours, days and
# "holdout: the last week" are wrong. times="int64", the default, is right; so is as_unit("ns").
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "fastparquet==2026.9.0" "pandas==3.1.1" "pyarrow==26.0.1"
"$place/venv/bin/python" - "$place/log.parquet" <<'PY'
import sys
from importlib.metadata import version

import fastparquet
import pandas as pd
import pyarrow.parquet as pq

file = sys.argv[1]
print({p: version(p) for p in ("fastparquet", "pandas", "pyarrow")})
log = pd.DataFrame({"user": [1, 1], "at": pd.to_datetime(["2024-10-27 03:00", "2024-10-28 03:00"])})
print(f"pandas: {log['at'].dtype}, {log['at'].iloc[0]}, {log['at'].diff().iloc[1]} apart")


def written(frame: pd.DataFrame, times: str) -> pd.Series:
    fastparquet.write(file, frame, times=times)
    read = pq.read_table(file)["at"].to_pandas()
    print(f"{times:5} of {frame['at'].dtype}: {read.iloc[0]}, {read.diff().iloc[1]} apart")
    return read


wrong = written(log, "int96")
right = [written(log, "int64"), written(log.assign(at=log["at"].dt.as_unit("ns")), "int96")]
day = pd.Timedelta("1D")
fits = (
    log["at"].dtype == "datetime64[us]"
    and all((read == log["at"]).all() for read in right)
    and wrong.iloc[0].year == 1970
    and wrong.diff().iloc[1] == day / 1000
)
sys.exit(0 if fits else "this behaviour has changed")
PY
