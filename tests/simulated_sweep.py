"""A sweep played in a second: the real planner, guard, hearts and ledger under simulated clocks,
workers and deaths, and what was truly used beside what the ledger says."""

from __future__ import annotations

import heapq
import math
import random
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from planted_study import DATA, record
from simulated_worker import LATE_S, Clocks, OwnTraining, Worker

import recscale.ledger
from recscale.cost import priced
from recscale.engine.allowance import Allowance
from recscale.engine.job import Job
from recscale.engine.searcher import PlanSearcher
from recscale.families.trainer import DATA as TRAINER_DATA
from recscale.ledger import Ledger
from recscale.planner import Planned, Problem, problem
from recscale.planner.fixed import increments
from recscale.planner.journal import decided
from recscale.planner.race import beaten, race_of
from recscale.run import CurvePoint, Place, RunRecord
from recscale.spec import SweepSpec
from recscale.specfile import parse_spec
from recscale.spend import BEAT, Resting, found, spent

SHM = Path("/dev/shm")
"""A folder in memory, where there is one: nobody's disk is tried here."""


@contextmanager
def folder() -> Iterator[Path]:
    """For one simulated sweep."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as name:
        yield Path(name)


class World:
    """A machine room: the workers, what they used, and one driver after another."""

    def __init__(self, folder: Path, spec: SweepSpec, planned: list[Planned], seed: int,
                 problem: Problem | None = None):  # fmt: skip
        self.dice = random.Random(seed)
        self.folder, self.spec, self.problem = folder, spec, problem
        self.planned = {p.run_id: p for p in planned}
        self.clocks = Clocks(self.dice)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0
        self.reader = Ledger(folder)
        self.writers = [Ledger(folder) for _ in range(2)]
        self.workers: set[Worker] = set()
        self.disk: dict[str, set[int]] = defaultdict(set)
        """Samples in the states of each run or trajectory."""
        self.flop = self.usd = self.slack_flop = self.slack_usd = 0.0
        self.mortality = self.dice.choice([0.0, 0.2, 0.5, 0.8])
        self.by_time = spec.budget.usd is not None
        self.speed = self.dice.choice([2000.0, 6000.0, 20000.0])
        self.concurrent = self.dice.randint(1, 3)
        self.session: Session | None = None
        self.own = spec.log is None
        self.kind = OwnTraining if self.own else Worker
        """Whether the runs are of a trainer of one's own."""
        self.data = TRAINER_DATA if self.own else DATA
        self.gaps: dict[str, int] = {}
        """Samples from one of a run's reports to the next, of a trainer of one's own."""
        self.untidy = self.dice.choice([0.0, 0.0, 0.1])
        """Share of ended runs after which a training's states are removed for their room."""
        self.losses = 0
        """States that were damaged or removed, and work that ended before its run did."""

    def writer(self) -> Ledger:
        """Of a process that has read the ledger."""
        ledger = self.dice.choice(self.writers)
        ledger.records()
        return ledger

    def newest(self, place: Place, samples: int) -> int:
        """Samples of the state from which a run that ends at `samples` goes on."""
        ways = ((place.trajectory, samples), (place.trunk, samples // place.epochs))
        return max((x for name, most in ways for x in self.disk[name] if x <= most), default=0)

    def after(self, delay: float, then: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.clocks.now + delay, self.count, then))

    def fell(self, job: Job) -> None:
        if self.session:
            self.session.heard.append((job, True))

    def landed(self, job: Job) -> None:
        if self.session:
            self.session.heard.append((job, False))

    def truth(self) -> tuple[float, float]:
        """(FLOPs, $) used by now, those of the living included."""
        flop = sum(w.used() * w.flop_per_sample for w in self.workers)
        each = [(self.clocks.now - w.begun) * w.workers for w in self.workers]
        return self.flop + flop, self.usd + priced(sum(each), self.spec.resources)[1]

    def drive(self, spec: SweepSpec, lives_s: float) -> str:
        """One driver, until it ends or is killed after `lives_s`; what ended it."""
        self.spec, self.by_time = spec, spec.budget.usd is not None
        self.session = session = Session(self)
        dies_at = self.clocks.now + lives_s
        while session.ended is None and self.clocks.now < dies_at:
            if session.turn():
                continue
            self.until(self.clocks.now + 0.5)
            self.check()
        self.session = None
        if session.ended is None:  # Ray ends what a dead driver leaves a moment later
            self.until(self.clocks.now + self.dice.uniform(0, 2.0))
            for worker in list(self.workers):
                worker.die(unseen=True)
        self.check()
        return session.ended or "killed"

    def until(self, when: float) -> None:
        while self.events and self.events[0][0] <= when:
            at, _, then = heapq.heappop(self.events)
            self.clocks.now = max(self.clocks.now, at)
            then()
        self.clocks.now = when

    def check(self) -> None:
        """The ledger is never below the truth, nor above it by more than what is allowed, and the
        truth never above the budget."""
        flop, usd = self.truth()
        said = spent(self.reader.attempts(), self.reader.starts())
        room = sum(w.room() for w in self.workers)
        beat_s = sum(w.heart.interval() * w.workers for w in self.workers)
        most_usd = usd + self.slack_usd + priced(beat_s, self.spec.resources)[1]
        assert flop * (1 - 1e-9) <= said.flop <= flop + self.slack_flop + room + 1, "FLOPs"
        silent = any(w.silent for w in self.workers)  # of which only the guard knows, until it acts
        assert silent or usd * (1 - 1e-9) <= said.usd, "$ below the truth"
        assert said.usd <= most_usd * (1 + 1e-9), "$ above the truth"
        budget = self.spec.budget
        assert budget.flop is None or flop <= budget.flop * (1 + 1e-9), "FLOPs crossed"
        assert budget.usd is None or usd <= budget.usd * (1 + 1e-9), "$ crossed"

    def outcome(self, run_id: str, start: str) -> RunRecord:
        """The record of a run that came to its end: of every third architecture's other rates one
        has lost by far, and of every ninth one has diverged."""
        run, train = self.planned[run_id], self.planned[run_id].config.train
        if self.own:
            return own_record(run, start)
        made, race = record(run, start=start), zlib.crc32(race_of(run.config).encode())
        if train.rate_factor == 1 or race % 3:
            return made
        if race % 9 == 0:
            return made.model_copy(update={"status": "diverged"})
        worse = [p.model_copy(update={"eval_loss": 1.2 * p.eval_loss}) for p in made.curve]
        return made.model_copy(update={"curve": tuple(worse)})

    def put_right(self, ledger: Ledger) -> None:
        """What a driver does first: it tells of the states of trainings that are gone."""
        for name, told in Resting(ledger.starts()).states.items():
            if name not in self.planned and not {*told} <= self.disk[name]:
                ledger.append(BEAT, **found(name, max(self.disk[name], default=0)))


def own_record(run: Planned, start: str) -> RunRecord:
    """Of a run of a trainer of one's own."""
    loss = 0.3 + run.cost.train_flop**-0.1
    at = {"samples": run.cost.samples, "train_flop": run.cost.train_flop, "time_s": 1.0}
    point = CurvePoint.model_validate(at | {"train_loss": None, "eval_loss": loss, "metrics": {}})
    return RunRecord(
        run_id=run.run_id, config=run.config, status="done", reason=run.reason, curve=(point,),
        estimated=run.cost, measured=run.cost, workers=1, started_at=1.8e9, finished_at=1.8e9 + 1,
        start=start,
    )  # fmt: skip


class Session:
    """A driver in Tune's place."""

    def __init__(self, world: World):
        self.world = world
        ledger = Ledger(world.folder)
        skewed = world.clocks.wrong(ledger)
        world.put_right(ledger)
        self.planned = () if world.problem else tuple(world.planned.values())
        self.searcher = PlanSearcher(
            world.spec, world.data, self.planned, ledger, str(world.folder), "store", world.problem
        )
        ledger.record = lambda r: skewed("run", record=r.model_dump(mode="json"))  # type: ignore
        self.guard = Allowance(self.searcher, now=lambda: world.clocks.now)
        self.heard: list[tuple[Job, bool]] = []
        self.trials: dict[str, str] = {}
        self.count = 0
        self.over = False
        self.ended: str | None = None

    def turn(self) -> bool:
        """One turn of Tune's loop; whether there was anything to do at once."""
        world = self.world
        if self.heard:
            job, error = self.heard.pop(0)
            trial = self.trials.pop(job.launch, None)
            if trial is None:  # of an earlier driver
                return True
            self.searcher.on_trial_complete(trial, error=error)
            if error:
                self.searcher.fail(trial, "killed")
            return True
        if self.guard.stop_all():
            world.until(world.clocks.now + world.dice.uniform(0, LATE_S))
            for worker in list(world.workers):
                worker.die()
            self.ended = "stopped"
            return False
        if len(self.trials) < world.concurrent and not self.over:
            self.count += 1
            asked = self.searcher.suggest(f"trial {self.count}")
            if asked == "FINISHED":
                self.over = True
            elif asked:
                job = Job(**asked["job"])
                settled = {r.run_id for r in self.searcher.ledger.attempts() if r.settled}
                assert job.run_id not in settled, "trained again"
                assert job.run_id not in beaten(self.planned, self.searcher.ledger.attempts())
                if world.problem and job.run_id not in world.planned:
                    (planned,) = (p for p in self.decided() if p.run_id == job.run_id)
                    world.planned[job.run_id] = planned
                self.trials[job.launch] = f"trial {self.count}"
                world.workers.add(world.kind(world, job))
                return True
        if self.over and not self.trials:
            self.ended = "finished"
        return False

    def decided(self) -> list[Planned]:
        return decided(self.searcher.ledger.entries())


def play(folder: Path, spec: SweepSpec, planned: list[Planned], seed: int) -> Counter[str]:
    """A fixed sweep with failures, retries, kills of workers and drivers, budgets raised twice,
    then everything without faults; what ended its drivers. Raises AssertionError."""
    world = World(folder, spec, planned, seed)
    dice, ends = world.dice, Counter[str]()
    whole = sum(p.cost.train_flop for p in planned)
    expensive = sum(p.cost.usd for p in planned)
    by_time = dice.random() < 0.4
    share = dice.uniform(0.1, 1.3)
    before = recscale.ledger.time
    recscale.ledger.time = world.clocks  # type: ignore
    try:
        for _ in range(3):
            usd = share * max(expensive, 2e-4)
            budget = {"usd": usd, "flop": None} if by_time else {"flop": share * whole}
            for _ in range(3):
                retries = spec.resources.model_copy(update={"retries": dice.randint(0, 2)})
                now = spec.budget.model_copy(update=budget)
                part = spec.model_copy(update={"budget": now, "resources": retries})
                if dice.random() < 0.2 and world.disk:  # damage
                    world.disk[dice.choice(list(world.disk))] = set()
                    world.losses += 1
                ends[how := world.drive(part, dice.choice([4.0, 40.0, 1e9]))] += 1
                if how != "killed":
                    break
            share *= dice.uniform(1.0, 2.0)
        world.mortality = 0.0
        free = spec.budget.model_copy(update={"flop": 1e30, "usd": None})
        ends[world.drive(spec.model_copy(update={"budget": free}), 1e9)] += 1
    finally:
        recscale.ledger.time = before
    attempts = Ledger(folder).attempts()
    settled, lost = Counter(r.run_id for r in attempts if r.settled), beaten(planned, attempts)
    assert settled == dict.fromkeys(world.planned.keys() - lost.keys(), 1), "lost or doubled"
    if not world.losses:  # points of one training cost what each adds
        whole = sum(p.cost.train_flop for p in increments([world.planned[i] for i in settled]))
        assert math.isclose(world.flop, whole, rel_tol=1e-9), "the price of a training"
    return ends


def play_search(folder: Path, text: str, seed: int) -> int:
    """A frontier search that is killed, and goes on with more budget twice; how many runs it
    trained. `text` is its sweep file, with FLOP for the budget. Raises AssertionError."""
    dice, flop = random.Random(seed), 3e9
    spec = parse_spec(text.replace("FLOP", f"{flop:g}"))
    world = World(folder, spec, [], seed, problem(spec, DATA))
    before = recscale.ledger.time
    recscale.ledger.time = world.clocks  # type: ignore
    try:
        for i in range(3):
            spec = parse_spec(text.replace("FLOP", f"{flop:g}"))
            world.problem = problem(spec, DATA)
            while world.drive(spec, dice.choice([20.0, 1e9])) == "killed":
                continue
            world.mortality *= 0.5
            flop *= dice.uniform(1.2, 2.0) if i < 2 else 1
    finally:
        recscale.ledger.time = before
    done = Counter(r.run_id for r in Ledger(folder).attempts() if r.status == "done")
    assert set(done.values()) == {1}, "doubled"
    return len(done)
