"""Storage as users have it: an S3-compatible server on loopback, a full disk, a refused key."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from conftest import slow, with_ray
from data_files import events_spec

from recscale.data.remote import cache, fetched, prepared
from recscale.data.store import Store, StoreError
from recscale.ledger import Ledger
from recscale.manifest import load_manifest
from recscale.spec import SweepSpec
from recscale.storage import StorageError, filesystem, trouble

SWEEP = """
name: away
data: {source: synthetic, rows: 40000, users: 500, items: 300}
model: {family: dlrm, embedding_dim: [4, 8], mlp_width: 16, sequence_length: 6}
train: {batch_size: 64}
budget: {flop: 1e15}
resources: {checkpoint_s: 0.5, retries: 2}
"""


def recscale(*words: str | Path, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recscale.cli", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, **options
    )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's S3, with one bucket."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    key = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **key).create_bucket(Bucket="bucket")
    yield url
    running.stop()


@pytest.fixture
def s3(server, tmp_path, monkeypatch) -> str:
    """A folder in the bucket of this test's own, on a node whose cache is empty."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"s3://bucket/{tmp_path.name}"


def found(place: str) -> list[str]:
    fs, root = filesystem(place)
    infos = fs.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    return sorted(i.path.removeprefix(f"{root}/") for i in infos if i.is_file)


@with_ray[1]
def test_a_whole_study_in_an_object_store(s3, tmp_path):
    """Killed, resumed from its checkpoint, and then read from there."""
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP + f"storage: {s3}\n")
    run_dir, ledger = f"{s3}/away", Ledger(f"{s3}/away")
    killed = ""
    with subprocess.Popen(
        [sys.executable, "-m", "recscale.cli", "run", sweep], stdout=subprocess.PIPE, text=True
    ) as driver:
        while driver.poll() is None:
            over = {r.run_id for r in ledger.records()}
            open_runs = [e for e in ledger.entries() if e["kind"] == "start"]
            for entry in open_runs if not killed else []:
                run_id = entry["run_id"]
                kept = found(f"{run_dir}/checkpoints/{run_id}")
                if run_id not in over and any(p.endswith("facts.json") for p in kept):
                    killed = run_id
                    os.kill(entry["pid"], signal.SIGKILL)
                    break
            time.sleep(0.2)  # the server needs the processor too
        assert driver.wait() == 0, driver.stdout.read()
    assert {r.status for r in ledger.records()} == {"done"}
    assert next(r for r in ledger.records() if r.run_id == killed).resumed == 1
    assert not any("facts.json" in p or ".distcp" in p for p in found(run_dir))

    facts = json.loads(recscale("status", run_dir, "--json").stdout)
    assert facts["planned"] == facts["done"] == 2
    shown = recscale("report", run_dir)
    assert f"{run_dir}/report.html" in shown.stdout.split()
    assert {"report.html", "runs.csv", "runs.parquet", "curves.parquet"} <= set(found(run_dir))
    asked = recscale("ask", run_dir)
    assert "To know, run another seed" in asked.stdout, asked  # two runs tell next to nothing
    again = recscale("run", sweep)
    assert again.returncode == 0
    assert len([e for e in Ledger(run_dir).entries() if e["kind"] == "run"]) == 2


def test_two_logs_of_one_name_and_size_are_two_stores_in_a_bucket(s3, tmp_path):
    stores = []
    for place, first in (("a", 1_600_000_000), ("b", 1_700_000_000)):
        (tmp_path / place).mkdir()
        rows = [f"u{i % 7},i{i % 11},{first + i}\n" for i in range(200)]
        (tmp_path / place / "log.csv").write_text("user,item,time\n" + "".join(rows))
        data = events_spec(tmp_path / place / "log.csv", task="next_item")
        stores.append(prepared(data, s3))
        assert prepared(data, s3) == stores[-1]
    assert len(set(stores)) == 2


def test_a_node_copies_the_store_once_and_checks_it(s3, small: SweepSpec, tmp_path):
    store = prepared(small.data, s3)
    assert prepared(small.data, s3) == store
    shutil.rmtree(cache())
    got: list[Path] = []
    many = [threading.Thread(target=lambda: got.append(fetched(store))) for _ in range(4)]
    for t in many:
        t.start()
    for t in many:
        t.join()
    assert len(set(got)) == 1 and len(got) == 4
    copy = Store.open(got[0])
    copy.verify()
    assert copy.manifest == load_manifest(store)
    begun = os.stat(got[0] / "label.npy").st_mtime_ns
    assert os.stat(fetched(store) / "label.npy").st_mtime_ns == begun

    shutil.rmtree(cache())
    fs, root = filesystem(store)
    with fs.open_input_file(f"{root}/label.npy") as source:
        content = bytearray(source.readall())
    content[-1] ^= 1
    with fs.open_output_stream(f"{root}/label.npy") as out:
        out.write(content)
    with pytest.raises(StoreError, match=f"{store}/label.npy differs"):
        fetched(store)
    assert not [p for p in cache().iterdir() if p.is_dir()]


def test_a_bucket_that_is_not_there_is_named(s3, small: SweepSpec):
    with pytest.raises(StorageError, match="s3://nobucket/store.*create the bucket"):
        prepared(small.data, "s3://nobucket/store")


class _Refuses(BaseHTTPRequestHandler):
    """What S3 answers to a key that it does not know."""

    def _answer(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_missing_credentials_exit_2_with_the_path_and_the_remedy(tmp_path, monkeypatch):
    refuses = ThreadingHTTPServer(("127.0.0.1", 0), _Refuses)
    threading.Thread(target=refuses.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*refuses.server_address))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP + "storage: s3://bucket/runs\n")
    for words in (("run", sweep), ("status", "s3://bucket/runs/away")):
        shown = recscale(*words)
        assert shown.returncode == 2, shown.stdout + shown.stderr
        assert "s3://bucket/runs" in shown.stderr and "credentials" in shown.stderr
        assert len(shown.stderr.strip().splitlines()) == 1
    refuses.shutdown()


def test_a_server_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    shown = recscale("status", "s3://bucket/runs/away")
    assert shown.returncode == 2, shown.stdout + shown.stderr
    assert "s3://bucket/runs" in shown.stderr and "AWS_ENDPOINT_URL" in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_bucket_that_refuses_for_a_while_is_named_and_loses_nothing(tmp_path, monkeypatch):
    """The server is gone between two entries and comes back on its port with what it held."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="outage")
    place = f"s3://outage/{tmp_path.name}"
    ledger = Ledger(place)
    ledger.append("session")
    running.stop()
    with pytest.raises(StorageError, match=f"{place} .*the same command again: nothing"):
        ledger.append("alive")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    try:
        ledger.append("end", interrupted=False)
        ledger.vouch()
        assert [e["kind"] for e in Ledger(place).entries()] == ["session", "end"]
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "is full; free space"),
        (errno.EDQUOT, "is full; free space"),
        (errno.EROFS, "may not be written; correct its permissions"),
        (errno.ESTALE, "is gone; mount it again"),
    ],
)
def test_trouble_names_the_path_and_the_remedy(number: int, remedy: str):
    sentence = trouble("/shared/runs", OSError(number, os.strerror(number)))
    assert sentence and sentence.startswith(f"/shared/runs {remedy}")
    assert "the same command again" in sentence


def test_an_error_of_another_kind_is_not_the_places():
    assert trouble("/shared/runs", NotADirectoryError(errno.ENOTDIR, "in the way")) is None


def test_a_run_directory_that_vanishes_is_not_begun_anew(tmp_path):
    ledger = Ledger(tmp_path / "runs")
    ledger.append("session")
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(StorageError, match=f"{tmp_path}/runs is gone; mount it again"):
        ledger.append("alive")
    assert not (tmp_path / "runs").exists()


def test_what_tune_passes_on_in_words_is_the_sentence_again():
    """Whatever of ours raised it in Tune's loop: the searcher, a callback, the rule that stops."""
    from recscale.engine.sweep import _of_no_run

    try:
        raise StorageError("/shared/runs is gone; mount it again")
    except StorageError:
        words = traceback.format_exc()
    told = _of_no_run(f"Trial failed:\n{words}\n")
    assert isinstance(told, StorageError) and str(told) == "/shared/runs is gone; mount it again"
    assert _of_no_run("ValueError: of one run") is None


FULL = """
set -e
mount -t tmpfs -o size=64m none {disk}
{recscale} prepare {sweep} > /dev/null
mkdir -p {disk}/full/checkpoints
dd if=/dev/zero of={disk}/filler bs=1k count=$(($(df -k --output=avail {disk} | tail -1) - 400)) \
    2> /dev/null
set +e
{recscale} run {sweep}
echo ended $?
rm {disk}/filler
{recscale} run {sweep}
echo ended $?
{recscale} status {disk}/full --json
"""


@slow
@with_ray[1]
def test_a_disk_that_fills_up_loses_nothing(tmp_path):
    """A real file system of 64 MB, which is freed afterwards."""
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets no user mount a file system of their own")
    disk, sweep = tmp_path / "disk", tmp_path / "sweep.yaml"
    disk.mkdir()
    wide = SWEEP.replace("[4, 8]", "[4, 128]").replace("away", "full")
    sweep.write_text(wide + f"storage: {disk}\n")
    script = FULL.format(disk=disk, sweep=sweep, recscale=f"{sys.executable} -m recscale.cli")
    shown = subprocess.run([*alone, script], capture_output=True, text=True, timeout=280)
    first, rest = shown.stdout.split("\nended ", 1)
    assert rest.startswith("2"), shown.stdout + shown.stderr
    assert f"{disk}/full" in shown.stderr and "is full; free space" in shown.stderr
    assert "ended 0" in rest, shown.stdout + shown.stderr
    facts = json.loads(rest[rest.index("{") :])
    assert facts["planned"] == facts["done"] == 2
