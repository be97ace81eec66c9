"""What a run directory knows, derived from its ledger: the sweep, the plan, the records, the law.

Everything here is recomputed at each call, on any machine that can read the ledger.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from recscale.families.door import home, search_below
from recscale.families.own import OwnSpec
from recscale.families.trainer import DATA
from recscale.frame import judged
from recscale.ledger import Ledger, of_this_version
from recscale.manifest import Manifest
from recscale.planner import Planned, Spend, ahead, pace, spent
from recscale.planner.journal import decided, decisions, plan_of, planned_of
from recscale.planner.race import beaten
from recscale.recorded import sweep_of
from recscale.run import RunConfig, RunRecord
from recscale.spec import SweepSpec
from recscale.spend import Start

if TYPE_CHECKING:
    import pandas as pd

    from recscale.laws import ScalingLaw
    from recscale.laws.choice import Contender

DELTA = 1e-3  # of Huber's objective, in log loss; see `recscale.laws.fit`
HARMFUL = ("epochs",)
"""Axes of which more may also harm: passes, beyond which a model learns its rows by heart."""
STALE_S = 180  # a driver writes a sign of life every minute; after three it counts as gone


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which goes over all records again and again while ten thousand
    of them are made: it took three fifths of the time to read them (tests/benchmarks/page.py)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class StudyError(ValueError):
    """A directory without a sweep, with the remedy."""


@dataclass(frozen=True)
class Study:
    """A sweep and what has come of it so far."""

    spec: SweepSpec
    data: Manifest
    planned: tuple[Planned, ...]
    attempts: tuple[RunRecord, ...]
    records: tuple[RunRecord, ...]
    """Of planned runs only, one a run."""
    orphaned: tuple[RunRecord, ...]
    """Of runs that an earlier form of the sweep asked for and this one does not."""
    running: tuple[str, ...]
    starts: tuple[Start, ...] = ()
    """Every start of a run; what they used is the spend."""
    decisions: tuple[dict[str, Any], ...] = ()
    """Of a frontier search, in the order of time: runs, why, what was believed."""
    damage: tuple[str, ...] = ()
    """What was found damaged and set aside while runs went on, a sentence each."""
    heard_at: float = 0.0
    """Unix seconds of the last entry."""
    raced: Mapping[str, str] = field(default_factory=dict)
    """Runs that were planned and are not trained, as their learning-rate factor lost: why."""
    interrupted: bool = False
    """Whether the last driver was stopped by a signal and ended cleanly."""
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was worked out from the rest, kept because it takes long."""

    @classmethod
    def open(cls, run_dir: str) -> Study:
        """The study in a run directory. Raises StudyError when no sweep was started there, and
        StorageError for a damaged ledger."""
        with uncollected():
            ledger = Ledger(run_dir)
            ledger.vouch()
            return cls.of(ledger, run_dir)

    @classmethod
    def of(cls, ledger: Ledger, where: str = "ledger", before: Study | None = None) -> Study:
        """Raises StudyError before a sweep was started. before: an earlier one of the same ledger,
        whose law is kept where no run has ended since."""
        entries = ledger.entries()
        plans = [e for e in entries if e["kind"] == "plan"]
        recorded = None if plans else sweep_of(ledger.records(), os.path.basename(ledger.home))
        if recorded is not None:
            spec, data = recorded, DATA
            planned = tuple(Planned(r.config, r.estimated, r.reason) for r in ledger.records())
        elif not plans:
            raise StudyError(
                f"{where}: no sweep was started here, and no run recorded; `recscale run SWEEP` "
                "starts one, `recscale log` records a run of your own"
            )
        else:
            plan = plans[-1]
            search_below(plan.get("code", {}).values())
            with of_this_version(ledger.place):
                spec, data = (
                    SweepSpec.model_validate(plan["spec"]),
                    Manifest.model_validate(plan["data"]),
                )
                planned = tuple(planned_of(plan["runs"]) + decided(entries))
        if any(model.task == "custom" for model in spec.models):  # of another loss
            data = data.model_copy(update={"baselines": {}, "floor": None})
        ids = {p.run_id for p in planned}
        records = judged(ledger.records(), spec.law_loss, data)
        last = [e for e in entries if e["kind"] in ("session", "end")][-1:]
        attempts = tuple(ledger.attempts())
        raced = beaten(planned, attempts)
        study = cls(
            spec=spec,
            data=data,
            planned=tuple(p for p in planned if p.run_id not in raced),
            raced=raced,
            attempts=attempts,
            records=tuple(r for r in records if r.run_id in ids),
            orphaned=tuple(r for r in records if r.run_id not in ids),
            running=_running(entries),
            starts=tuple(ledger.starts()),
            decisions=tuple(decisions(entries)),
            damage=tuple(d for e in entries if e["kind"] == "damage" for d in e["found"]),
            heard_at=max(float(e["at"]) for e in entries),
            interrupted=any(e["kind"] == "end" and e["interrupted"] for e in last),
        )
        if before and before.spec == spec and before.records == study.records:
            study._known.update({k: v for k, v in before._known.items() if k != "parts"})
            for part, old in zip(study.parts(), before.parts(), strict=True):
                part._known.update(old._known)
        return study

    def once(self, name: str, work_out: Callable[[], Any]) -> Any:
        """What follows from the study alone and takes long, worked out when it is first asked for.
        Threads may both work it out; they come to the same."""
        if name not in self._known:
            self._known[name] = work_out()
        return self._known[name]

    def parts(self) -> tuple[Study, ...]:
        """One study a family, each with its own law; a study of one family is its only part."""
        if len(self.spec.models) == 1:
            return (self,)
        return self.once("parts", self._split)

    def _split(self) -> tuple[Study, ...]:
        known: dict[str, set[str]] = {model.family: set() for model in self.spec.models}
        for run in (*self.planned, *self.attempts):
            known.setdefault(run.config.model.family, set()).add(run.run_id)
        return tuple(
            replace(
                self,
                spec=spec,
                planned=tuple(p for p in self.planned if _of(p.config, spec)),
                attempts=tuple(r for r in self.attempts if _of(r.config, spec)),
                records=tuple(r for r in self.records if _of(r.config, spec)),
                orphaned=tuple(r for r in self.orphaned if _of(r.config, spec)),
                running=tuple(
                    p.run_id
                    for p in self.planned
                    if p.run_id in self.running and _of(p.config, spec)
                ),
                starts=tuple(s for s in self.starts if s.run_id in known[spec.model.family]),
            )
            for spec in self.spec.parts()
        )

    @property
    def rows(self) -> int:
        """Training rows at hand: of the log, or with a trainer the most that its sweep takes."""
        return max(self.spec.models[0].amounts, default=self.data.n_train)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to run: every planned run has ended, or the search has."""
        if self.decisions:
            return self.decisions[-1]["stop"] is not None
        return self.count("done") + self.count("diverged") == len(self.planned)

    def count(self, status: str) -> int:
        return sum(r.status == status for r in self.records)

    @property
    def spent(self) -> Spend:
        return spent(self.attempts, self.starts)

    def frame(self) -> pd.DataFrame:
        """The planned runs' records; see `recscale.frame.records_frame`."""
        from recscale.frame import records_frame

        asked = self.spec.law.below_baseline
        losses = (*self.spec.models[0].losses, self.spec.law_loss)
        # of thousands of runs it takes a second, and a page asks for it ten times
        return self.once("frame", lambda: records_frame(self.records, losses, asked)).copy()

    def curves(self) -> pd.DataFrame:
        """The planned runs' learning curves; see `recscale.frame.curves_frame`."""
        from recscale.frame import curves_frame

        return self.once("curves", lambda: curves_frame(self.records)).copy()

    def left_out(self) -> dict[str, str]:
        """run id -> why it does not enter the law; see `recscale.frame.left_out`."""
        from recscale.frame import left_out

        asked = self.spec.law.below_baseline
        return dict(self.once("left out", lambda: left_out(self.records, asked)))

    @property
    def judged_by(self) -> str:
        """The column of losses (nats a sample) that is held against baselines."""
        return self.data.judged_by(self.spec.law_loss)

    @property
    def baselines(self) -> dict[str, float]:
        """The baselines that runs are held against, nats a sample."""
        return self.data.baselines_in(self.judged_by)

    def below(self) -> list[RunRecord]:
        """The runs that are done and no better than a baseline, whether or not they enter."""
        return [r for r in self.records if r.worse_than]

    def no_law(self, why: str = "") -> str:
        """Why the runs determine no law, and before it how many of them baselines keep out of it;
        by default, why none enters."""
        from recscale.frame import lost_words

        lost = "" if self.spec.law.below_baseline else lost_words(self.records)
        if lost:
            return f"{lost}: {why or 'none is left'}"
        return why or "no run has ended yet"

    def law(self) -> ScalingLaw:
        """The law that the sweep asks for, over the runs that may enter it: where it leaves the
        variables open, that of `laws` which predicts best. A law that the runs do not determine
        says so in its status. Raises LawError before the first run has ended, and for several
        families, each of which has a law of its own: see `parts`."""
        law = self.laws()[0].law
        if not law.status.determined:
            return replace(law, reason=self.no_law(law.reason))
        return law

    def laws(self) -> list[Contender]:
        """The laws of the runs, the best supported first: over the axes that were swept, each
        apart, and over the family's groups, such as all dense parameters; only the latter where
        the sweep states variables or a form. Raises LawError as `law` does."""
        return list(self.once("laws", self._fitted))

    def _fitted(self) -> list[Contender]:
        from recscale.frame import trainings
        from recscale.laws import LawError
        from recscale.laws.choice import contest
        from recscale.laws.points import check

        if len(self.spec.models) > 1:
            raise LawError("several families have no law in common; each part has its own")
        frame = self.frame()
        if not any(frame["enters_law"]):
            raise LawError(self.no_law())
        runs, loss = frame.loc[frame["enters_law"].astype(bool)], self.spec.law_loss
        groups = self.spec.law_variables
        training = trainings(runs)
        # an axis may come to one value, such as hash sizes above the vocabulary
        axes = [a for a in self.spec.axis_variables if runs[a].nunique(dropna=False) > 1]
        entries, why = {}, ""
        if axes and not set(axes) <= set(groups):
            with suppress(LawError):
                points = check(runs, axes, loss, cost="train_flop", zeros=axes, cluster=training)
                entries["axes apart"] = replace(points, harmful=HARMFUL), "effects"
        try:
            points = check(runs, groups, loss, cost="train_flop", cluster=training)
            entries["groups" if entries else "as stated"] = points, self.spec.law.form
        except LawError as error:
            why = str(error)
        found = contest(entries, DELTA) if entries else []
        if axes and self.spec.log is None and not (found and found[0].law.status.determined):
            # a trainer's law is over its axes: of two values each they still have effects
            with suppress(LawError):
                points = check(runs, axes, loss, cost="train_flop", zeros=axes)
                apart = contest(
                    {"axes apart": (replace(points, harmful=HARMFUL), "effects")}, DELTA
                )
                found = [*apart, *found] if apart[0].law.status.determined else found
        if not found:
            raise LawError(self.no_law(why))
        return found

    def eta_s(self) -> float | None:
        """Seconds to the end at the pace measured so far and as many runs at a time as now; None
        before the first run has ended."""
        if not any(r.settled for r in self.attempts):
            return None
        settled = {r.run_id for r in self.records if r.settled}
        slower = pace(self.attempts)
        open_runs = [p for p in self.planned if p.run_id not in settled]
        shares = ahead(open_runs, self.starts)
        left = sum(share * p.cost.time_s * slower for p, share in shares)
        return left / max(1, len(self.running))

    def facts(self) -> dict[str, Any]:
        """The state as plain values: what `recscale status --json` prints."""
        return {
            "name": self.spec.name,
            "planned": len(self.planned),
            "raced": dict(self.raced),
            "done": self.count("done"),
            "diverged": self.count("diverged"),
            "failed": self.count("failed"),
            "stopped": self.count("stopped"),
            "running": len(self.running),
            "damage": self.damage,
            "baselines": self.baselines,
            "below_baseline": [
                {
                    "run_id": r.run_id,
                    r.judged_by: r.final.columns()[r.judged_by],
                    "worse_than": r.worse_than,
                }
                for r in self.below()
                if r.final
            ],
            "spent": vars(self.spent),
            "budget": self.spec.budget.model_dump(exclude_none=True),
            "law": law_facts(self),
            **({"search": self.search_facts()} if self.decisions else {}),
        }

    def search_facts(self) -> dict[str, Any]:
        """What the search believes of its target, and why it ended if it has."""
        last = next((d["facts"] for d in reversed(self.decisions) if "half" in d["facts"]), {})
        stop = self.decisions[-1]["stop"] is not None
        return {
            "decisions": len(self.decisions),
            "why": self.decisions[-1]["why"],
            "ended": stop,
            **{k: last[k] for k in ("target", "expected", "half", "optimum") if k in last},
        }


def _of(config: RunConfig, spec: SweepSpec) -> bool:
    return config.model.family == spec.model.family


def plan_entry(spec: SweepSpec, data: Manifest, planned: Sequence[Planned]) -> dict[str, Any]:
    """The ledger entry from which `Study.of` rebuilds a sweep without its data."""
    own = {m.family: home(m.family) for m in spec.models if isinstance(m, OwnSpec)}
    return {
        **({"code": own} if own else {}),
        "spec": spec.model_dump(mode="json"),
        "data": data.model_dump(mode="json"),
        "runs": plan_of(planned),
    }


def law_facts(study: Study) -> dict[str, Any]:
    """The law as plain values; `status` says whether it may be used, `why` what is missing. Of
    several families: the law of each, and `converged` where all are."""
    from recscale.laws import LawError

    parts = study.parts()
    if len(parts) > 1:
        laws = {p.spec.model.family: law_facts(p) for p in parts}
        open_ones = [f for f, law in laws.items() if law["status"] != "converged"]
        if not open_ones:
            return {"status": "converged", "families": laws}
        status = laws[open_ones[0]]["status"]
        return {"status": status, "why": f"open: {', '.join(open_ones)}", "families": laws}
    try:
        law = study.law()
    except LawError as error:
        return {"status": "underdetermined", "why": str(error)}
    facts: dict[str, Any] = {"status": str(law.status), "form": law.form, "n": law.n}
    if not law.status.determined:
        return {**facts, "why": law.reason}
    table = law.intervals(0.95)
    return {
        **facts,
        "loss": study.spec.law_loss,
        "coefficients": {k: float(v) for k, v in law.coefficients.items()},
        "intervals": {
            name: [float(low), float(high)]
            for name, low, high in zip(
                table["coefficient"], table["low"], table["high"], strict=True
            )
        },
    }


def _running(entries: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Runs that were started by the driver that lives, and have not ended."""
    began = max((i for i, e in enumerate(entries) if e["kind"] == "session"), default=None)
    if began is None:
        return ()
    since = entries[began:]
    signs = [e["at"] for e in since if e["kind"] in ("session", "alive")]
    if any(e["kind"] == "end" for e in since) or time.time() - max(signs) > STALE_S:
        return ()
    started = {e["run_id"] for e in since if e["kind"] == "start"}
    over = {e["record"]["run_id"] for e in since if e["kind"] == "run"}
    return tuple(sorted(started - over))
