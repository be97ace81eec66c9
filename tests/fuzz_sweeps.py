"""Sweep files that nobody would write: good ones with absurd values, damaged text, or both."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hypothesis import strategies as st

from recscale.reference import every_key

CLICK: dict[str, Any] = {
    "name": "fuzz",
    "data": {"source": "synthetic", "rows": 2000, "users": 80, "items": 60},
    "model": {"family": "dlrm", "embedding_dim": [4, 8, 16], "mlp_width": [8, 32, 128]},
    "train": {"data_fraction": [0.25, 0.5, 1.0], "batch_size": 32},
    "budget": {"flop": 1e15},
    "storage": "runs",
}
COLUMNS = {"user": "u", "item": "i", "time": "t"}
CLICKS = {"label": "l", "sparse": ["c"], "dense": ["p"]}
NEXT = CLICK | {
    "data": {"source": "events", "path": "log.csv", "task": "next_item", "columns": COLUMNS},
    "model": {"family": "decoder", "sequence_depth": [1, 2, 4], "sequence_width": 16},
}
OWN = CLICK | {
    "data": {"source": "events", "path": "log.csv", "columns": COLUMNS | CLICKS},
    "model": {"family": "wukong", "layers": [1, 2, 3]},
}
ANYTIME = {
    "data_fraction": [0.1, 0.5, 1.0], "batch_size": 16, "schedule": "anytime", "warmup_samples": 32,
    "learning_rate": {"tune": [0.25, 1, 4]},
}  # fmt: skip
TRAINER = {
    "name": "fuzz",
    "trainer": "own_fuzz:train",
    "axes": {"hidden": [16, 64, 256], "samples": [1e3, 1e4, 1e5]},
    "cost": "6 * hidden * samples",
    "budget": {"flop": 1e15},
    "storage": "runs",
}
COMMAND = {k: v for k, v in TRAINER.items() if k != "trainer"} | {
    "command": ["python", "own_fuzz.py", "{hidden}", "{samples}"],
    "loss": "val_loss",
}
BASES = (
    CLICK,
    NEXT,
    OWN,
    CLICK | {"search": {"strategy": "frontier", "target": {"flop": "10x"}}},
    CLICK | {"search": {"strategy": "schemes"}, "model": {"family": "dcnv2"}},
    CLICK | {"search": {"strategy": "axes"}, "law": {"variables": ["dense_params", "samples"]}},
    CLICK | {"model": [{"family": "dlrm"}, {"family": "wukong"}]},
    NEXT | {"probes": ["robustness"], "model": {"family": "hstu", "negatives": [None, 5]}},
    CLICK | {"train": ANYTIME},
    CLICK | {"train": ANYTIME, "law": {"loss": "progressive_ne"}},
    CLICK | {"train": ANYTIME, "search": {"strategy": "frontier", "target": {"flop": "10x"}}},
    NEXT | {"train": ANYTIME | {"epochs": [1, 2]}},
    TRAINER,
    TRAINER | {"search": {"strategy": "frontier", "target": {"flop": "10x"}}},
    COMMAND,
    *(CLICK | {"model": {"family": f}} for f in ("deepfm", "autoint", "rankmixer", "adrec")),
    NEXT | {"model": {"family": "fuxi", "sequence_width": [16, 32, 64]}},
    NEXT | {"model": {"family": "climber", "subsequences": [1, 2, 4]}},
)
LONG = "a" * 5000
ABSURD: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 64, 1.5, 0.5, 1e-300, 1e300, -1e300, 10**12, 10**13, 10**30, 10**400,
    math.nan, math.inf, True, False, None, "", " ", "x", LONG, f"{LONG}/{LONG}", "a\0b", "\ud800",
    "é☃", "a\nb", "../x", ".", "/", "$NOPE", "~nobody", "runs", "runs/store", "runs/fuzz", "folder",
    "loop", "log.csv", "log.csv/x", "*", "**", "**/*.csv", "[", "/dev/null", "memory://x", "s4://x",
    [], [1], [1, 1], [1, 2], [1, 2, 4], [4, 1e300], [10**12, 10**12 - 1], [None], [None, 2], ["x"],
    ["x", "x"], [[1]], list(range(4, 4000, 4)), {}, {"a": 1}, {"flop": 1}, {"": None},
    "10%", "100%", "100x", "1e300x", "rating >= 4", "p > 0.5", "%d %d", "%Y", "seconds", "10:20",
    "samples", "nope", ["samples"], ["samples", "samples"], ["eval_ne"], ["family"], ["nope", 3],
    ["dense_params", "samples"], "power", "repeated", "auto", "kaplan", "frontier", "schemes",
    "anytime", "decayed", "progressive_ne", "progressive_loss", "6 * hidden", "hidden ** 9",
    "{hidden}", "hidden", ["hidden", "samples"], ["python", "own_fuzz.py"], ["python", "{x}"],
    "own_fuzz:train", "own_fuzz:nope", "nope:train", [0.25, 1, 4],
    "axes", "next_item", "click", "hash", "popularity", "bfloat16", "rows", ["rows", "rows"],
    "u", "i", "t", "l", "c", "p", ["c"], ["u"], ["p", "c"], "cpu", "mlflow", "trajectory",
)  # fmt: skip
TEXT: tuple[bytes, ...] = (
    b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\t", b"\r", b"\x85", b": ", b"- ", b"? ",
    b"[", b"{" * 50, b"]", b"}", b"[" * 3000, b'"', b"'", b"|\n", b"&a ", b"*a", b"<<: *a\n",
    b"!!python/name:os.getcwd ", b"!!binary ", b"!!int ", b"!x ", b"%YAML 9.9\n", b"---\n",
    b"\n? [a, b]\n: c\n", b"\n1: 2\n", b"\nnull: 3\n", b"\ntrain: &t {learning_rate: *t}\n",
    b"\nlaw: &l [*l]\n", b"\nx: &x\n  <<: *x\n", b"\nname: again\n", b"#", b"9" * 5000,
    b"\na: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (i, i, b",".join([b"*%c" % (i - 1)] * 9)) for i in range(98, 108)
    ),
)  # fmt: skip


def world(folder: Path) -> None:
    """What the paths of the sweep files lead to."""
    rng, n = np.random.default_rng(0), 2000
    pd.DataFrame(
        {
            "u": rng.integers(0, 80, n),
            "i": rng.integers(0, 60, n),
            "t": 1_700_000_000 + 60 * np.arange(n),
            "l": rng.integers(0, 2, n),
            "p": rng.random(n),
            "c": rng.integers(0, 5, n),
        }
    ).to_csv(folder / "log.csv", index=False)
    (folder / "own_fuzz.py").write_text("def train(config, report, checkpoint_dir):\n    pass\n")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")


def _paths() -> list[tuple[str, ...]]:
    """Every key, without the kinds of mappings, which a file does not name."""
    paths = []
    for key in every_key():
        top, *below = key.path.split(".")
        paths.append((top, *below[1:]) if top in ("data", "model") and below else (top, *below))
    return list(dict.fromkeys(paths))


PATHS = _paths()


def put(sweep: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets a key, and the mappings on the way to it."""
    for part in path[:-1]:
        inner = sweep.get(part)
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            inner = inner[0]
        elif not isinstance(inner, dict):
            inner = sweep[part] = {}
        sweep = inner
    sweep[path[-1]] = value


@st.composite
def sweep_files(draw: st.DrawFn) -> bytes:
    """The content of a sweep file."""
    sweep = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(0, 3))):
        put(sweep, draw(st.sampled_from(PATHS)), copy.deepcopy(draw(st.sampled_from(ABSURD))))
    for _ in range(draw(st.integers(0, 1))):
        path = draw(st.sampled_from(PATHS))
        first, *rest = path
        inner = sweep.get(first)
        if rest and isinstance(inner, dict):
            inner.pop(rest[0], None)
        else:
            sweep.pop(first, None)
    text = yaml.dump(sweep, sort_keys=False, allow_unicode=draw(st.booleans()))
    content = text.encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        at = draw(st.integers(0, len(content)))
        cut = draw(st.sampled_from((0, 0, 1, 30)))
        content = content[:at] + draw(st.sampled_from(TEXT)) + content[at + cut :]
    return content
