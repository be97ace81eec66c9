"""Kills at random everything that a sweep consists of. A part of faults.py.

A private Ray cluster on loopback: a head without CPUs and two nodes of one CPU. One sweep runs
first undisturbed. Then the same sweep runs in two parts: with one worker a run, and from half of
its runs on with `elastic: [1, 2]`. Meanwhile processes are killed -9 at random times (workers,
Train's controller, the driver, which is then started again), two nodes die with their raylets
and are replaced, one is reclaimed with ten seconds' notice, and one is added and removed.
Seeds choose the times and the victims.

The final losses must equal the undisturbed sweep's: exactly on one worker, to 1e-3 on two. Printed
besides: the share of training time that was lost.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults_tally import tally

from recscale.engine.ready import stay_on_loopback
from recscale.ledger import Ledger
from recscale.run import RunRecord
from recscale.study import Study

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

SWEEP = """
name: {name}
data: {{source: synthetic, rows: 40000, users: 500, items: 300}}
model: {{family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [16, 32], sequence_length: 6}}
train: {{data_fraction: [0.7, 1.0], batch_size: 64, seeds: {seeds}}}
budget: {{flop: 1e15}}
resources: {{checkpoint_s: 0.5, retries: 30, {workers}}}
storage: {storage}
"""
FIRST = [*["worker"] * 12, *["driver"] * 3, "raylet", "node"]
THEN = [*["worker"] * 3, "controller", "raylet", "drain"]
NOTICE_S = 10
LIMIT_S = 1800


class Sweep:
    """A sweep file, its ledger, and its driver, which is started again whenever it was killed."""

    def __init__(self, folder: Path, name: str, seeds: int):
        self.folder, self.name, self.seeds = folder, name, seeds
        self.ledger = Ledger(folder / "runs" / name)
        self.driver: subprocess.Popen[bytes] | None = None

    def write(self, workers: str) -> None:
        text = SWEEP.format(
            name=self.name, seeds=self.seeds, workers=workers, storage=self.folder / "runs"
        )
        (self.folder / f"{self.name}.yaml").write_text(text)

    def start(self) -> None:
        command = [sys.executable, "-m", "recscale.cli", "run", f"{self.name}.yaml"]
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.driver = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def ended(self) -> bool:
        assert self.driver is not None
        code = self.driver.poll()
        assert code in (None, 0), (self.folder / f"{self.name}.log").read_text()[-3000:]
        return code == 0

    def done(self) -> list[RunRecord]:
        return [r for r in self.ledger.attempts() if r.status == "done"]

    def under_way(self) -> list[dict[str, Any]]:
        """Latest starts of runs that are not done and whose process lives."""
        over = {r.run_id for r in self.done()}
        starts = [e for e in self.ledger.entries() if e["kind"] == "start"]
        last = {e["run_id"]: e for e in starts}
        return [e for e in last.values() if e["run_id"] not in over and alive(e["pid"])]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def titled(word: str, cluster: Cluster) -> list[int]:
    """Processes of this cluster's nodes whose title holds `word`."""
    raylets = {raylet(n) for n in cluster.list_all_nodes()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            title = (folder / "cmdline").read_bytes().decode(errors="replace")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if word in title and parent in raylets:
                found.append(int(folder.name))
    return found


def raylet(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


class Chaos:
    def __init__(self, cluster: Cluster, sweep: Sweep, seed: int):
        self.cluster, self.sweep, self.random = cluster, sweep, random.Random(seed)
        self.struck: Counter[str] = Counter()
        self.deaths: list[float] = []

    def strike(self, kind: str) -> None:
        """One fault of a kind, once there is something to hit."""
        while not self.sweep.ended():
            time.sleep(self.random.uniform(0.5, 4))
            if getattr(self, f"_{kind}")():
                self.struck[kind] += 1
                self.deaths.append(time.time())
                print(
                    f"  {time.strftime('%H:%M:%S')} {kind}, {len(self.sweep.done())} done",
                    flush=True,
                )
                return

    def _kill(self, pids: list[int]) -> bool:
        if not pids:
            return False
        os.kill(self.random.choice(sorted(pids)), signal.SIGKILL)
        return True

    def _worker(self) -> bool:
        ranks = titled("RayTrainWorker", self.cluster)
        return self._kill(ranks or [e["pid"] for e in self.sweep.under_way()])

    def _controller(self) -> bool:
        return bool(self.sweep.under_way()) and self._kill(titled("TrainController", self.cluster))

    def _driver(self) -> bool:
        if not self.sweep.under_way() or self.sweep.driver is None:
            return False
        self.sweep.driver.kill()
        self.sweep.driver.wait()
        self.sweep.start()
        return True

    def _raylet(self) -> bool:
        """A node dies, and the cluster gets another."""
        if not self.sweep.under_way():
            return False
        node = self.random.choice(sorted(self.cluster.worker_nodes, key=raylet))
        self.cluster.remove_node(node, allow_graceful=False)
        self.cluster.add_node(num_cpus=1)
        return True

    def _drain(self) -> bool:
        """A node is reclaimed with notice, as a spot machine is, and the cluster gets another."""
        if not self.sweep.under_way():
            return False
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
        from ray.core.generated import autoscaler_pb2

        node = self.random.choice(sorted(self.cluster.worker_nodes, key=raylet))
        self.cluster.add_node(num_cpus=1)
        why = autoscaler_pb2.DrainNodeReason  # type: ignore[attr-defined]
        deadline = int((time.time() + NOTICE_S) * 1000)
        reason = why.Value("DRAIN_NODE_REASON_PREEMPTION")
        GcsClient(address=self.cluster.address).drain_node(node.node_id, reason, "spot", deadline)
        time.sleep(NOTICE_S)
        self.cluster.remove_node(node, allow_graceful=False)
        return True

    def _node(self) -> bool:
        """A node comes, and goes while it is used."""
        node = self.cluster.add_node(num_cpus=1)
        time.sleep(self.random.uniform(8, 16))
        self.cluster.remove_node(node, allow_graceful=False)
        return True


def wait(sweep: Sweep) -> float:
    begun = time.monotonic()
    while not sweep.ended():
        assert time.monotonic() - begun < LIMIT_S, "the sweep does not end"
        time.sleep(0.2)
    return time.monotonic() - begun


def training_s(sweep: Sweep, deaths: list[float]) -> tuple[float, float]:
    """Seconds that all attempts trained, to their end or death, and those that led to a record."""
    starts: dict[str, list[float]] = {}
    for e in sweep.ledger.entries():
        if e["kind"] == "start":
            starts.setdefault(e["run_id"], []).append(e["at"])
    useful = total = 0.0
    for r in sweep.done():
        ends = [*starts[r.run_id][1:], r.finished_at]
        for begun, end in zip(starts[r.run_id], ends, strict=True):
            total += min([d for d in deaths if begun < d < end] or [end]) - begun
        useful += r.measured.time_s if r.measured else 0.0
    return total, useful


def kills(folder: Path, seed: int, size: float) -> Counter[str]:
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.5"
    stay_on_loopback()
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = str(cluster.address)
    try:
        return disturbed(cluster, folder, seed, size)
    finally:
        del os.environ["RAY_ADDRESS"]
        cluster.shutdown()


def part(kinds: list[str], size: float) -> list[str]:
    """So large a share of each kind of fault, one at least."""
    return [k for k, n in Counter(kinds).items() for _ in range(max(1, round(size * n)))]


def disturbed(cluster: Cluster, folder: Path, seed: int, size: float) -> Counter[str]:
    seeds = max(1, round(2 * size))  # of 12 runs each
    calm = Sweep(folder, "calm", seeds)
    calm.write("workers: 1")
    calm.start()
    calm_s = wait(calm)
    expected = {r.run_id: r.final.eval_loss for r in calm.done() if r.final}
    assert len(expected) == 12 * seeds
    print(f"  undisturbed: {len(expected)} runs in {calm_s:.0f} s", flush=True)

    sweep = Sweep(folder, "faults", seeds)
    sweep.write("workers: 1")
    chaos = Chaos(cluster, sweep, seed)
    begun, wanted = time.monotonic(), Counter[str]()
    sweep.start()
    for kinds, workers in ((FIRST, "elastic: [1, 2]"), (THEN, "")):
        order = part(kinds, size)
        wanted.update(order)
        chaos.random.shuffle(order)
        first = len(sweep.done())
        room = len(expected) / 2 - 1 if workers else len(expected) - first - 2
        for n, kind in enumerate(order):
            while len(sweep.done()) - first < n * room / len(order) and not sweep.ended():
                time.sleep(0.1)
            chaos.strike(kind)
        if workers:  # the rest of the sweep in elastic groups
            sweep.write(workers)
            wanted["driver"] += 1
            chaos.strike("driver")
    wait(sweep)
    took = time.monotonic() - begun
    assert chaos.struck == wanted, f"struck {chaos.struck}, not {wanted}: the sweep was too short"
    study, records = Study.open(sweep.ledger.home), sweep.done()
    sharded = {s.run_id for s in study.starts if s.workers > 1}
    found = Counter[str]()
    for many, apart in ((False, 0.0), (True, 1e-3)):
        of = [p for p in study.planned if (p.run_id in sharded) == many]
        ids = {p.run_id for p in of}
        found += tally(
            of, [r for r in study.attempts if r.run_id in ids],
            [s for s in study.starts if s.run_id in ids],
            [e for e in sweep.ledger.entries() if _run_of(e) in ids],
            study.spec.budget, expected=expected, apart=apart,
        )  # fmt: skip
    total, useful = training_s(sweep, chaos.deaths)
    counted = sum(r.lost * r.measured.time_s for r in records if r.measured)
    print(
        f"  struck {dict(chaos.struck)} in {took:.0f} s; {len(records)} of {len(expected)} done, "
        f"{len(sharded)} of them on two workers, resumed {sum(r.resumed for r in records)} times; "
        f"of {total:.0f} s of training {1 - useful / total:.1%} wasted, the ledger counts "
        f"{counted / (useful + counted):.1%} at most",
        flush=True,
    )
    return found


def _run_of(entry: dict[str, Any]) -> str:
    return entry["record"]["run_id"] if entry["kind"] == "run" else entry.get("run_id", "")
