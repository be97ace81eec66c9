"""A sweep played in a second: the real planner, guard, hearts and ledger under simulated clocks,
workers and deaths, and what was truly used beside what the ledger says."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planted_study import DATA, record

import recscale.ledger
from recscale.cost import TRAIN_OVER_FORWARD, priced
from recscale.engine.allowance import LOOK_S, Allowance
from recscale.engine.heart import EARLY, CheckpointLost, Heart
from recscale.engine.job import Job, lost
from recscale.engine.searcher import PlanSearcher
from recscale.ledger import Ledger
from recscale.planner import Planned, Problem, problem
from recscale.run import Place
from recscale.spec import SweepSpec
from recscale.specfile import parse_spec
from recscale.spend import spent

LOOK = 5 * 512  # samples between two looks
LATE_S = 1.5  # the longest that a driver needs to hear of a death, or a stopped worker to end
SKEW_S = 5 * 3600.0


class Clocks:
    """The true time, and a wall clock for each writer that is wrong and jumps."""

    def __init__(self, dice: random.Random):
        self.dice, self.now, self.skew = dice, 1e6, 0.0

    def time(self) -> float:
        return 1.7e9 + self.now + self.skew

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def wrong(self, ledger: Ledger) -> Callable[..., None]:
        """`ledger.append` by a clock of its own."""
        skew = self.dice.uniform(-SKEW_S, SKEW_S)

        def say(kind: str, **facts: Any) -> None:
            self.skew = skew if self.dice.random() < 0.9 else self.dice.uniform(-SKEW_S, SKEW_S)
            ledger.append(kind, **facts)

        return say


class Worker:
    """One start of a job: loads, trains at an uneven speed, and ends as its dice say."""

    def __init__(self, world: World, job: Job, workers: int = 1):
        self.world, self.job, self.workers, dice = world, job, workers, world.dice
        self.begun, self.alive = world.clocks.now, True
        self.ledger = world.writer()
        say = world.clocks.wrong(self.ledger)
        resized = any(s.launch == job.launch for s in self.ledger.starts())
        self.heart = Heart(say, job, workers, resized, now=lambda: world.clocks.now)
        self.origin = self.position = 0
        self.speed, self.looked_at = 0.0, self.begun
        self.trains = self.silent = False
        self.silent_at = self.begun
        run = job.run
        self.place = run.place
        assert all(w.place.trunk != self.place.trunk or w.job is job for w in world.workers)
        self.flop_per_sample = TRAIN_OVER_FORWARD * run.model.forward_flop(DATA).total
        world.after(dice.uniform(0, 1.5), self.load)
        world.after(EARLY * self.heart.interval(), self.beat)
        if dice.random() < world.mortality:
            at = dice.choice([0.3, 3.0, 12.0]) * dice.random()
            ends = [self.killed, self.killed, self.raised, self.resized]
            world.after(at, dice.choice([*ends, *([self.hung] if world.by_time else [])]))

    def load(self) -> None:
        if not self.alive or self.silent:
            return
        self.heart.opened(DATA, LOOK)
        found = self.world.newest(self.place, self.heart.total)
        try:
            held = self.heart.began(found)
        except CheckpointLost:
            self.raised()
            return
        self.origin = self.position = found
        self.trains, self.looked_at = True, self.world.clocks.now
        self.world.after(held, self.step)

    def step(self) -> None:
        if not self.alive or self.silent:
            return
        self.speed = self.world.dice.uniform(0.4, 2.5) * self.world.speed
        self.looked_at = self.world.clocks.now
        ahead = min(LOOK, self.heart.total - self.position)
        self.world.after(ahead / self.speed, self.look)

    def look(self) -> None:
        if not self.alive or self.silent:
            return
        self.position = min(self.heart.total, self.position + LOOK)
        kept = self.world.newest(self.place, self.heart.total)
        self.heart.looked(self.position, kept)
        if self.position == self.heart.total:
            self.finish()
            return
        if self.world.dice.random() < 0.3:
            position = self.position
            self.world.after(self.world.dice.random(), lambda: self.keep(position))
        self.step()

    def keep(self, samples: int) -> None:
        if self.alive:
            beyond = {x for x in self.world.disk[self.place.trajectory] if x > self.heart.total}
            self.world.disk[self.place.trajectory] = {samples} | beyond

    def beat(self) -> None:
        if self.alive and not self.silent:
            self.heart.beat()
            self.world.after(EARLY * self.heart.interval(), self.beat)

    def used(self) -> int:
        """Samples trained on by now."""
        if not self.trains:
            return 0
        since = 0.0 if self.silent else self.speed * (self.world.clocks.now - self.looked_at)
        done = min(self.position + min(LOOK, int(since)), self.heart.total)
        return done - self.origin

    def die(self, unseen: bool = False) -> None:
        """`unseen`: hung while no driver was there to count, which nobody can know of."""
        world = self.world
        until = self.silent_at if unseen and self.silent else world.clocks.now
        worker_s = (until - self.begun) * self.workers
        world.flop += self.used() * self.flop_per_sample
        world.usd += priced(worker_s, self.job.needs)[1]
        beat_s = self.heart.interval()
        world.slack_flop += (2 * LOOK + 2.5 * world.speed * beat_s) * self.flop_per_sample
        world.slack_usd += priced((beat_s + 4 * LOOK_S + LATE_S) * 2, self.job.needs)[1]
        self.alive = False
        world.workers.discard(self)

    def killed(self) -> None:
        if self.alive:
            self.die()
            self.world.after(self.world.dice.uniform(0, LATE_S), lambda: self.world.fell(self.job))

    def raised(self) -> None:
        if self.alive:
            self.heart.end()
            self.killed()

    def hung(self) -> None:
        """It stops for ever and is never heard of: only the guard ends it."""
        if self.alive and self.trains:
            self.position += min(LOOK, int(self.speed * (self.world.clocks.now - self.looked_at)))
            self.silent, self.silent_at = True, self.world.clocks.now

    def resized(self) -> None:
        """Ray takes the group apart and starts another for the same job, and asks nobody."""
        if self.alive:
            self.die()
            self.world.workers.add(Worker(self.world, self.job, 3 - self.workers))

    def finish(self) -> None:
        if self.place.trajectory == self.job.run_id:
            self.world.disk.pop(self.job.run_id, None)
            self.heart.end(self.position)
        else:
            self.keep(self.position)
            self.heart.end(self.position, self.position)
        self.die()
        starts = [s for s in self.ledger.starts() if s.run_id == self.job.run_id]
        assert lost(starts, max(s.worker_s for s in starts)) >= 0
        made = record(self.world.planned[self.job.run_id], start=self.heart.id)
        self.ledger.record(made)
        self.world.landed(self.job)


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
        self.writers = [Ledger(folder) for _ in range(4)]
        self.workers: set[Worker] = set()
        self.disk: dict[str, set[int]] = defaultdict(set)
        """Samples in the states of each run or trajectory."""
        self.flop = self.usd = self.slack_flop = self.slack_usd = 0.0
        self.mortality = self.dice.choice([0.0, 0.2, 0.5, 0.8])
        self.by_time = spec.budget.usd is not None
        self.speed = self.dice.choice([2000.0, 6000.0, 20000.0])
        self.concurrent = self.dice.randint(1, 3)
        self.session: Session | None = None
        self.launched: Counter[str] = Counter()

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
        room = sum(2 * LOOK + 2.5 * self.speed * w.heart.interval() for w in self.workers)
        room *= max((w.flop_per_sample for w in self.workers), default=0.0)
        beat_s = sum(w.heart.interval() * w.workers for w in self.workers)
        most_usd = usd + self.slack_usd + priced(beat_s, self.spec.resources)[1]
        assert flop * (1 - 1e-9) <= said.flop <= flop + self.slack_flop + room + 1, "FLOPs"
        silent = any(w.silent for w in self.workers)  # of which only the guard knows, until it acts
        assert silent or usd * (1 - 1e-9) <= said.usd, "$ below the truth"
        assert said.usd <= most_usd * (1 + 1e-9), "$ above the truth"
        budget = self.spec.budget
        assert budget.flop is None or flop <= budget.flop * (1 + 1e-9), "FLOPs crossed"
        assert budget.usd is None or usd <= budget.usd * (1 + 1e-9), "$ crossed"


class Session:
    """A driver in Tune's place."""

    def __init__(self, world: World):
        self.world = world
        ledger = Ledger(world.folder)
        skewed = world.clocks.wrong(ledger)
        self.searcher = PlanSearcher(
            world.spec, DATA, tuple(world.planned.values()) if not world.problem else (), ledger,
            str(world.folder), "store", world.problem,
        )  # fmt: skip
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
                world.launched[job.run_id] += 1
                if world.problem and job.run_id not in world.planned:
                    (planned,) = (p for p in self.decided() if p.run_id == job.run_id)
                    world.planned[job.run_id] = planned
                self.trials[job.launch] = f"trial {self.count}"
                world.workers.add(Worker(world, job))
                return True
        if self.over and not self.trials:
            self.ended = "finished"
        return False

    def decided(self) -> list[Planned]:
        from recscale.planner.journal import decided

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
                ends[how := world.drive(part, dice.choice([4.0, 40.0, 1e9]))] += 1
                if how != "killed":
                    break
            share *= dice.uniform(1.0, 2.0)
        world.mortality = 0.0
        free = spec.budget.model_copy(update={"flop": 1e30, "usd": None})
        ends[world.drive(spec.model_copy(update={"budget": free}), 1e9)] += 1
    finally:
        recscale.ledger.time = before
    done = Counter(r.run_id for r in Ledger(folder).attempts() if r.status == "done")
    assert done == dict.fromkeys(world.planned, 1), "lost or doubled"
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
