"""The cluster files, against Ray's own schema and the fields of KubeRay's resources."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

REPOSITORY = Path(__file__).parents[1]
CLUSTER = REPOSITORY / "cluster"
CLOUDS = ("aws", "gcp")

FIELDS = yaml.safe_load((Path(__file__).parent / "kuberay_fields.yaml").read_text())


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())


def unknown(kind: str, given: Any, at: str = "") -> list[str]:
    """Paths of the fields that `kind` does not have."""
    if isinstance(given, list):
        return [p for i, each in enumerate(given) for p in unknown(kind, each, f"{at}[{i}]")]
    fields = dict((f.split(":") + [""])[:2] for f in FIELDS[kind].split())
    found = []
    for key, value in given.items():
        if key not in fields:
            found.append(f"{at}.{key}")
        elif fields[key]:
            found += unknown(fields[key], value, f"{at}.{key}")
    return found


@pytest.mark.parametrize("name", [*CLOUDS, "local-fake"])
def test_ray_accepts_the_cluster_file(name):
    config = prepare_config(copy.deepcopy(load(name)))
    validate_config(config)
    types = config["available_node_types"]
    workers = {k: v for k, v in types.items() if k != config["head_node_type"]}
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert all(t["min_workers"] == 0 and t["max_workers"] > 0 for t in workers.values())
    assert config["idle_timeout_minutes"] > 0


def test_the_check_refuses_what_ray_would():
    config = load("aws") | {"idle_timeout": 5}
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(config))
    job = load("kuberay-rayjob")
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 4
    assert unknown("RayJob", job) == [".spec.rayClusterSpec.workerGroupSpecs[0].maxReplica"]


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_cluster_trains_on_spot_gpus_behind_a_token(name):
    config = load(name)
    worker = config["available_node_types"]["gpu"]
    assert worker["resources"]["GPU"] > 0
    assert "spot" in yaml.safe_dump(worker["node_config"]).lower()
    assert any('.[gpu]"' in c for c in config["worker_setup_commands"])
    (head,) = [c for c in config["head_start_ray_commands"] if "ray start" in c]
    assert "--num-cpus=0" in head and "--dashboard-host=127.0.0.1" in head
    starts = [head, *(c for c in config["worker_start_ray_commands"] if "ray start" in c)]
    assert all("RAY_AUTH_MODE=token" in c for c in starts)
    assert "~/.ray/auth_token" in config["file_mounts"].values()
    assert "://YOUR-BUCKET" in head


def test_the_rayjob_has_kuberays_fields_and_scales_from_nothing():
    job = load("kuberay-rayjob")
    assert unknown("RayJob", job) == []
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["enableInTreeAutoscaling"] and cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] == 0 < group["maxReplicas"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    assert job["spec"]["shutdownAfterJobFinishes"] and job["spec"]["ttlSecondsAfterFinished"] > 0


def test_a_job_uploads_what_a_run_needs_and_no_more(tmp_path):
    """Of a copy of the repository in which somebody has worked."""
    work = tmp_path / "work"
    for path in (
        "recscale",
        "cluster",
        "sweeps",
        "tests",
        "pyproject.toml",
        ".gitignore",
        ".rayignore",
    ):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).symlink_to(REPOSITORY / path)
    for litter in (".venv/lib/torch.so", "runs/demo/store/rows.npy", "data.parquet", ".env"):
        (work / litter).parent.mkdir(parents=True, exist_ok=True)
        (work / litter).write_bytes(b"0" * 10_000_000)
    create_package(str(work), tmp_path / "upload.zip", include_gitignore=True)
    names = zipfile.ZipFile(tmp_path / "upload.zip").namelist()
    assert {"recscale/cli/__init__.py", "sweeps/demo.yaml", "cluster/prices.yaml"} <= set(names)
    assert not [n for n in names if n.startswith((".", "tests", "runs")) or n.endswith(".parquet")]
    # the package itself is 2 MB, stored as it is; each piece of litter has 10
    assert (tmp_path / "upload.zip").stat().st_size < 5_000_000
