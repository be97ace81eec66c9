#!/usr/bin/env bash
# A Ray Train group of elastic size that waits for nodes takes a whole core of the head to do so.
#
# With num_workers=2 the controller hands a placement group in and sleeps until that is ready. With
# num_workers=(2, 3) it looks for itself whether enough has come, and looks again at once: the wait,
# minutes where a cluster has to grow, is a busy loop, one for each group that waits.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "ray[train]==2.60.0" "torch==2.13.0" psutil
cd "$place"
RAY_AUTH_MODE=disabled "$place/venv/bin/python" -W ignore - <<'PY'
import sys
import threading
import time
from importlib.metadata import version

import psutil
import ray
import ray.train
from ray.train.torch import TorchTrainer

LOOK_S = 15
print({p: version(p) for p in ("ray", "torch")})


def controller_cores(workers):
    """Cores that the controller takes while its group waits for CPUs that are not there."""
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    trainer = TorchTrainer(
        lambda: None, scaling_config=ray.train.ScalingConfig(num_workers=workers)
    )
    threading.Thread(target=lambda: trainer.fit(), daemon=True).start()
    while True:
        found = [
            p for p in psutil.process_iter(["cmdline"])
            if (p.info["cmdline"] or [""])[0].startswith("ray::TrainController")
            and any(q.pid == ME.pid for q in p.parents())
        ]
        if found:
            break
        time.sleep(0.2)
    time.sleep(15)  # what it does at its start is over
    before, began = sum(found[0].cpu_times()[:2]), time.monotonic()
    time.sleep(LOOK_S)
    share = (sum(found[0].cpu_times()[:2]) - before) / (time.monotonic() - began)
    ray.shutdown()
    return share


ME = psutil.Process()
fixed, elastic = controller_cores(2), controller_cores((2, 3))
print(f"cores while waiting: fixed group {fixed:.2f}, elastic group {elastic:.2f}")
# a busy machine leaves the loop less than a core
sys.exit(0 if elastic > 5 * fixed and elastic > 0.1 else "this behaviour has changed")
PY
