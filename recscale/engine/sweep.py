"""A sweep from its file to the last record: Ray Tune drives the runs that the planner asks for.

The ledger alone says what is done. Tune keeps its own files under `tune/` for its loggers and the
dashboard; nothing is ever read back from them.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import ray
from ray import tune

from recscale.engine.allowance import Allowance
from recscale.engine.heart import HEARTBEAT_S
from recscale.engine.job import ON_HEAD, OtherVersion
from recscale.engine.monitor import SweepMonitor
from recscale.engine.presence import Presence
from recscale.engine.ready import Sweep, warm
from recscale.engine.rests import missing
from recscale.engine.searcher import PlanSearcher
from recscale.engine.ship import code_of
from recscale.engine.signals import Signals
from recscale.engine.tracking import tracker_callbacks
from recscale.engine.worker import leased_trial, tune_trial
from recscale.laws import LAW_VERSION
from recscale.ledger import Ledger, finished
from recscale.planner import PlanError
from recscale.planner.journal import decided, ended
from recscale.spec import ResourcesSpec
from recscale.spend import BEAT
from recscale.storage import StorageError, check_room, filesystem, guarded
from recscale.study import Study, plan_entry
from recscale.trainers.trial import complaint

ALIVE_S = 60  # seconds between the driver's signs of life in the ledger
LOOK_S = 1  # seconds between looks at the ledger for the screen
ORPHANS = 15  # looks, two heartbeats apart, for what a killed driver's workers still do


@dataclass(frozen=True)
class Ended:
    """How a sweep ended; the rest is in the ledger."""

    study: Study
    interrupted: bool = False
    exhausted: bool = False


def run(
    sweep: Sweep,
    on_change: Callable[[Study], None],
    extend: bool = False,
    on_leave: Callable[[], None] = lambda: None,
) -> Ended:
    """Runs what the ledger lacks. `on_change` hears of the study about once a second while it
    runs, `on_leave` where a signal took Ray with it and this process ends at once. A search that
    has ended stays ended unless `extend` lets it go on. Raises PlanError when a run asks for more
    than this machine has, and StorageError when the run directory or the store cannot be used, here
    or on a worker."""
    with Presence(sweep.run_dir) as presence:
        return _run(sweep, presence, on_change, extend, on_leave)


def _run(
    sweep: Sweep,
    presence: Presence,
    on_change: Callable[[Study], None],
    extend: bool,
    on_leave: Callable[[], None],
) -> Ended:
    ledger = Ledger(sweep.run_dir)
    if sweep.problem and not extend and ended(ledger.entries()):
        return Ended(Study.of(ledger))
    data = sweep.data
    known = warm(sweep)
    entry = plan_entry(sweep.spec, data, sweep.planned)
    plans = [e for e in ledger.entries() if e["kind"] == "plan"]
    if not plans or {k: plans[-1].get(k) for k in entry} != entry:
        ledger.append("plan", **entry)
    if known:
        ledger.append("warm", **known)
    if presence.followed:
        _outlive(ledger)
    _put_right(ledger, sweep)
    searcher = PlanSearcher(
        sweep.spec, data, sweep.planned, ledger, sweep.run_dir, sweep.store, sweep.problem
    )
    if searcher.suggest("is there anything to do") == "FINISHED":
        return _ended(ledger, searcher)
    searcher.flying.clear()
    _try_trainer(sweep, ledger)
    with Signals(ledger, presence, on_leave) as signals:
        ledger.append("session", pid=os.getpid(), law_version=LAW_VERSION)
        on_change(Study.of(ledger))  # Ray takes its time to start
        if not ray.is_initialized():
            needs = sweep.spec.resources
            _connect(needs.least_workers * needs.cpus_per_worker, code_of(sweep.spec))
        signals.hears()
        signals.watch(ray.get_runtime_context().gcs_address)
        interrupted = _tune(sweep, searcher, ledger, presence, on_change, signals)
    if not interrupted:
        ledger.append("end", interrupted=False)
    return _ended(ledger, searcher, interrupted)


def _try_trainer(sweep: Sweep, ledger: Ledger) -> None:
    """Raises PlanError where a trainer of one's own goes wrong in its first reports, unless runs of
    the same source have ended well, or it may be for want of a worker's GPU, files or peers."""
    if sweep.spec.log is not None:
        return
    runs = [*sweep.planned, *(p for p in decided(ledger.entries()))]
    if not runs:
        return
    first = min(runs, key=lambda p: p.cost.train_flop).config
    ended = (r.config.model for r in ledger.records() if r.settled)
    if any(getattr(m, "code", "") == getattr(first.model, "code", "") for m in ended):
        return
    wrong, always = complaint(first)
    needs = sweep.spec.resources
    elsewhere = "RAY_ADDRESS" in os.environ or needs.gpus_per_worker > 0 or needs.most_workers > 1
    if wrong and (always or not elsewhere):
        key = "command" if sweep.spec.command else "trainer"
        raise PlanError(f"{key}: tried at {first.run_id} before any budget is spent: it {wrong}")


def _put_right(ledger: Ledger, sweep: Sweep) -> None:
    """Notes which states at rest are gone or damaged, before anything is decided on them."""
    settled = finished(ledger.records())
    runs = [*sweep.planned, *decided(ledger.entries())]
    open_runs = [p for p in runs if p.run_id not in settled]
    gone = missing(sweep.run_dir, open_runs, ledger.starts())
    for facts in gone.entries:
        ledger.append(BEAT, **facts)
    if gone.said:
        ledger.append("damage", found=list(gone.said))


def _outlive(ledger: Ledger) -> None:
    """Waits until the workers of a driver that was killed are silent: Ray takes a moment to end
    them, and what they do in it has to be known before anything is decided."""
    for _ in range(ORPHANS):
        before = sum(s.signs for s in ledger.starts() if not s.over)
        if not before:
            return
        time.sleep(2 * HEARTBEAT_S)
        if sum(s.signs for s in ledger.starts() if not s.over) == before:
            return


def _ended(ledger: Ledger, searcher: PlanSearcher, interrupted: bool = False) -> Ended:
    exhausted = searcher.ended is not None and searcher.ended.exhausted
    return Ended(Study.of(ledger), interrupted, exhausted and not interrupted)


def _tune(
    sweep: Sweep,
    searcher: PlanSearcher,
    ledger: Ledger,
    presence: Presence,
    on_change: Callable[[Study], None],
    signals: Signals,
) -> bool:
    """Runs Tune to its end; says whether a signal ended it."""
    resources = sweep.spec.resources
    pool = None
    session = time.strftime("%Y%m%dT%H%M%S")
    most = len(sweep.problem.points) if sweep.problem else len(sweep.planned)
    if resources.most_workers == 1:
        per_trial = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
        trainable, space, concurrent = tune_trial, {}, resources.concurrent
    else:
        from recscale.engine.pool import Pool  # brings torch, which one-worker drivers do without

        room = resources.concurrent or slots(resources)
        concurrent = min(room, len(sweep.planned))
        pool = Pool(
            resources,
            concurrent,
            f"{sweep.run_dir}/train/{session}",
            failures=(resources.retries + 1) * most,
        )
        per_trial = ON_HEAD
        trainable, space = leased_trial, {"bus": pool.name}
    allowance, watch = Allowance(searcher), _Watch(searcher, ledger, presence, on_change)
    tuner = tune.Tuner(
        tune.with_resources(trainable, per_trial),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # the searcher says when it is over
            max_concurrent_trials=concurrent,
            reuse_actors=True,
            trial_name_creator=_run_id,
            trial_dirname_creator=_run_id,
        ),
        run_config=tune.RunConfig(
            name=session,
            storage_path=f"{sweep.run_dir}/tune",
            stop=allowance,
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher decides again
            callbacks=[watch, *tracker_callbacks(sweep.spec)],
            verbose=0,
        ),
    )
    try:
        with guarded(sweep.run_dir), _silent("ray.tune", "ray.train"):
            tuner.fit()
        if pool and not (signals.caught or allowance.spent_up):
            pool.close()
        return signals.caught
    except (tune.TuneError, ValueError) as error:  # the latter where its own files are gone
        if trouble := watch.trouble or _of_no_run(str(error)):
            raise trouble from error
        presence.check_now()
        _check_state(sweep.run_dir, session)
        raise
    finally:
        ray.shutdown()


def _check_state(run_dir: str, session: str) -> None:
    """Tune reads back, at its end, the state that it wrote. Raises StorageError where that is gone,
    since somebody removes the run directory."""
    fs, root = filesystem(run_dir)
    folder = f"{root}/tune/{session}"
    with guarded(run_dir):
        found = fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        if not any(i.base_name.startswith("experiment_state-") for i in found):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)


@contextmanager
def _silent(*loggers: str) -> Iterator[None]:
    """Their errors are not shown: what ends a sweep is raised, and what ends a run is in the
    ledger. Where Tune's own files cannot be written it logs tracebacks and goes on."""
    before = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _of_no_run(words: str) -> StorageError | OtherVersion | None:
    """What Tune passes on in words: the trouble that no run is to blame for and all would meet."""
    for kind in (StorageError, OtherVersion):
        if met := re.search(rf"\b{kind.__name__}: (.+)", words):
            return kind(met[1])
    return None


def slots(resources: ResourcesSpec) -> int:
    """Runs that fit beside each other on the cluster as it is now."""
    here = ray.cluster_resources()
    needs = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    fit = [here.get(k, 0) // (resources.most_workers * n) for k, n in needs.items() if n]
    return max(1, int(min(fit)))


def _run_id(trial: Any) -> str:
    return trial.config["job"]["run_id"]


def dashboard(sweep: Sweep) -> str:
    """Connects to the cluster of RAY_ADDRESS, where that is set; the address of its dashboard, if
    there is one."""
    if "RAY_ADDRESS" not in os.environ:
        return ""
    return _connect(0, code_of(sweep.spec))


def _connect(cpus: int, code: dict[str, Any]) -> str:
    """The cluster of RAY_ADDRESS (`ray job submit` sets it), else a Ray of our own, without a
    dashboard: that starts in half the time and listens to nobody. `ray start --head` has one.
    code: what the workers of a cluster are sent. Returns the address of the dashboard, if any."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # only Tune's older output can be silenced
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"  # the ledger has them
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the sweep names its trackers
    if "RAY_ADDRESS" in os.environ:
        there = ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=code or None)
        url = there.dashboard_url or ""
        return f"http://{url}" if url and "://" not in url else url
    print("starting Ray on loopback: about 10 s, longer on a busy machine", flush=True)
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray knows no class for this one
        if "timed out during startup" not in str(error):
            raise
        raise PlanError(
            "Ray did not start here within the 30 s that it gives itself: this machine is busy; "
            "give the same command again when it is less so, or start Ray first (ray start --head) "
            "and set RAY_ADDRESS=auto"
        ) from error
    here = int(ray.cluster_resources().get("CPU", 0))
    if cpus > here:
        ray.shutdown()
        raise PlanError(
            f"resources: a run asks for {cpus} CPUs (workers x cpus_per_worker) and this machine "
            f"has {here}; ask for fewer, or submit to a cluster"
        )
    return ""


class _Watch(tune.Callback):
    """Hears of every step of Tune's loop: signs of life, failures, and the screen."""

    def __init__(
        self,
        searcher: PlanSearcher,
        ledger: Ledger,
        presence: Presence,
        on_change: Callable[[Study], None],
    ):
        self.searcher, self.ledger, self.on_change = searcher, ledger, on_change
        self.presence = presence
        self.monitor = SweepMonitor(searcher.spec.name)
        self.trouble: StorageError | PlanError | None = None
        """What ended the sweep; Tune passes on the words of an exception, not the exception."""
        self.study: Study | None = None
        self.alive_at = self.looked_at = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for a restore that never comes: there is nothing to keep."""
        return {}

    def on_step_end(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:
        try:
            self.presence.check()
        except (StorageError, PlanError) as trouble:
            self.trouble = trouble
            raise
        if time.monotonic() - self.alive_at > ALIVE_S:
            self.ledger.append("alive")
            self.alive_at = time.monotonic()
        if time.monotonic() - self.looked_at > LOOK_S:
            study = self.study = Study.of(self.ledger, before=self.study)
            self.on_change(study)
            self.monitor.update(study, self.searcher.expected)
            self.looked_at = time.monotonic()

    def on_trial_error(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        # Tune's own file of every attempt's error, on this machine: trial.get_error() reads a copy
        # in the storage, which is there some seconds later only
        error = Path(trial.error_file).read_text()
        try:
            if trouble := _of_no_run(error):
                raise trouble
            check_room(self.searcher.run_dir)  # a full disk kills in many words
            self.searcher.fail(trial.trial_id, error)
        except (StorageError, OtherVersion) as trouble:
            self.trouble = trouble
            raise
