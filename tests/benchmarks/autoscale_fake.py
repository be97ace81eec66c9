"""How a sweep makes Ray's autoscaler grow and shrink a cluster, on fake nodes of this machine.

    python tests/benchmarks/autoscale_fake.py

Prints the seconds until nodes and training began, the node-seconds in which a node had no run, and
how many nodes were started: more than two means that nodes came and went between runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from local_cluster import LocalCluster, local_cluster

from recscale.ledger import Ledger

SWEEP = """
name: scale
data: {{source: synthetic, rows: 100000, users: 500, items: 300}}
model: {{family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [16, 32], sequence_length: 6}}
train: {{data_fraction: 1.0, batch_size: 64}}
budget: {{flop: 1e15}}
resources: {{concurrent: 2}}
storage: {folder}/runs
"""
IDLE_S = 15
LOOK_S = 0.25


class Nodes:
    """Who was alive when, looked up by a thread until `stop`."""

    def __init__(self, cluster: LocalCluster):
        self.cluster = cluster
        self.alive_s: dict[str, float] = {}
        self.first: dict[str, float] = {}
        self.now: set[str] = set()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        before = time.time()
        while not self.stopped.wait(LOOK_S):
            self.now, now = self.cluster.workers(), time.time()
            for node in self.now:
                self.first.setdefault(node, now)
                self.alive_s[node] = self.alive_s.get(node, 0.0) + now - before
            before = now

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        local_cluster(idle_timeout_minutes=IDLE_S / 60) as cluster,
    ):
        sweep = Path(folder) / "scale.yaml"
        sweep.write_text(SWEEP.format(folder=folder))
        nodes = Nodes(cluster)
        submitted = time.time()
        job = cluster.submit("scale", "recscale", "run", sweep)
        subprocess.run(job, env=cluster.env, check=True, stdout=subprocess.DEVNULL)
        ended = time.time()
        while nodes.now:
            time.sleep(LOOK_S)
        empty = time.time()
        nodes.stop()
        report(Ledger(f"{folder}/runs/scale"), nodes, submitted, ended, empty)


def report(ledger: Ledger, nodes: Nodes, submitted: float, ended: float, empty: float) -> None:
    entries = ledger.entries()
    session = next(e["at"] for e in entries if e["kind"] == "session")
    starts = {e["run_id"]: e["at"] for e in entries if e["kind"] == "start"}
    busy = sum(r.finished_at - starts[r.run_id] for r in ledger.records())
    alive = sum(nodes.alive_s.values())
    came = sorted(nodes.first.values())
    print(f"{len(starts)} runs, {busy:.1f} s of training, on {len(came)} nodes started in all")
    print(f"job submitted to sweep begun     {session - submitted:6.1f} s")
    for i, at in enumerate(came):
        print(f"sweep begun to node {i + 1} alive     {at - session:6.1f} s")
    print(f"sweep begun to first step        {min(starts.values()) - session:6.1f} s")
    print(f"job's end to no node             {empty - ended:6.1f} s (idle timeout {IDLE_S} s)")
    print(f"node-seconds alive {alive:.1f}, idle {alive - busy:.1f} ({1 - busy / alive:.0%}), "
          f"{IDLE_S * len(came)} of them idle timeout")  # fmt: skip


if __name__ == "__main__":
    main()
