"""Workers of a simulated sweep: real hearts under simulated clocks, and what was truly used."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recscale.cost import priced
from recscale.engine.allowance import LOOK_S
from recscale.engine.heart import EARLY, CheckpointLost, Heart
from recscale.engine.job import Job, lost
from recscale.ledger import Ledger
from recscale.spend import BEAT, found

if TYPE_CHECKING:
    from simulated_sweep import World

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
        self.ahead = LOOK
        self.speed, self.looked_at = 0.0, self.begun
        self.trains = self.silent = False
        self.silent_at = self.begun
        run = job.run
        self.place = run.place
        assert all(w.place.trunk != self.place.trunk or w.job is job for w in world.workers)
        cost = world.planned[job.run_id].cost
        self.flop_per_sample = cost.train_flop / cost.samples
        world.after(dice.uniform(0, 1.5), self.load)
        world.after(EARLY * self.heart.interval(), self.beat)
        if dice.random() < world.mortality:
            at = dice.choice([0.3, 3.0, 12.0]) * dice.random()
            ends = [self.killed, self.killed, self.raised, self.resized]
            world.after(at, dice.choice([*ends, *([self.hung] if world.by_time else [])]))

    def load(self) -> None:
        if not self.alive or self.silent:
            return
        self.opened()
        found = self.world.newest(self.place, self.heart.total)
        try:
            held = self.heart.began(found)
        except CheckpointLost:
            self.raised()
            return
        self.origin = self.position = found
        self.trains, self.looked_at = True, self.world.clocks.now
        self.world.after(held, self.step)

    def opened(self) -> None:
        self.heart.opened(self.world.data, LOOK)

    def step(self) -> None:
        if not self.alive or self.silent:
            return
        self.speed = self.world.dice.uniform(0.4, 2.5) * self.world.speed
        self.looked_at = self.world.clocks.now
        ahead = min(self.ahead, self.heart.total - self.position)
        self.world.after(ahead / self.speed, self.look)

    def look(self) -> None:
        if not self.alive or self.silent:
            return
        self.position = min(self.heart.total, self.position + self.ahead)
        self.told()
        if self.position == self.heart.total:
            self.finish()
            return
        self.step()

    def told(self) -> None:
        """At a look; a checkpoint of it may be there some time later."""
        position = self.position
        self.heart.looked(position, self.world.newest(self.place, self.heart.total))
        if position < self.heart.total and self.world.dice.random() < 0.3:
            self.world.after(self.world.dice.random(), lambda: self.keep(position))

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
        done = min(self.position + min(self.ahead, int(since)), self.heart.total)
        return done - self.origin

    def room(self) -> float:
        """FLOPs that the ledger may hold beyond what was trained."""
        ahead = 2.5 * self.world.speed * self.heart.interval() * (1 if self.heart.sure else 4)
        return (2 * max(self.ahead, self.heart.look) + ahead) * self.flop_per_sample

    def die(self, unseen: bool = False) -> None:
        """`unseen`: hung while no driver was there to count, which nobody can know of."""
        world = self.world
        until = self.silent_at if unseen and self.silent else world.clocks.now
        worker_s = (until - self.begun) * self.workers
        world.flop += self.used() * self.flop_per_sample
        world.usd += priced(worker_s, self.job.needs)[1]
        beat_s = self.heart.interval()
        world.slack_flop += self.room()
        world.slack_usd += priced((beat_s + 4 * LOOK_S + LATE_S) * 2, self.job.needs)[1]
        self.alive = False
        world.workers.discard(self)
        # one that died before it trained may be given up: its training then goes on without it
        world.losses += not self.trains or self.position < self.heart.total

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
            self.position += min(
                self.ahead, int(self.speed * (self.world.clocks.now - self.looked_at))
            )
            self.silent, self.silent_at = True, self.world.clocks.now

    def resized(self) -> None:
        """Ray takes the group apart and starts another for the same job, and asks nobody."""
        if self.alive:
            self.die()
            self.world.workers.add(type(self)(self.world, self.job, 3 - self.workers))

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
        self.ledger.record(self.world.outcome(self.job.run_id, self.heart.id))
        if self.heart.place and self.world.dice.random() < self.world.untidy:
            name = self.world.dice.choice(sorted(self.world.disk))
            self.world.disk[name] = set()
            self.world.losses += 1
            self.ledger.append(BEAT, **found(name, 0))
        self.world.landed(self.job)


class OwnTraining(Worker):
    """Of a trainer of one's own, which reports at the same distance all along and leaves a state of
    each report; only what came before the last one is known to be in it."""

    def opened(self) -> None:
        world, total = self.world, self.world.planned[self.job.run_id].cost.samples
        self.ahead = world.gaps.setdefault(self.job.run_id, _gap(total, world.dice))
        known = self.ahead if any(self.world.disk[self.place.trajectory]) else total
        self.heart.opened(world.data, known, sure=False)

    def told(self) -> None:
        self.keep(max(self.origin, self.position - self.ahead))
        self.heart.looked(self.position, self.world.newest(self.place, self.heart.total))
        if self.heart.look != self.ahead:
            self.heart.look = self.ahead
            self.heart.beat()


def _gap(total: int, dice: random.Random) -> int:
    return max(1, round(total * dice.choice([0.03, 0.2, 0.6, 2.0])))


def trains_nothing(config: Any, report: Any, checkpoint_dir: Any) -> None:
    """In whose place `OwnTraining` plays."""
