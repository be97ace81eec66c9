"""From a notebook or a script of one's own: a sweep file that is planned and run, and a run
directory that is asked.

import recscale
sweep = recscale.load("mine.yaml")
sweep.plan()                       # a frame
runs = sweep.run()
print(runs.ask("10x"))
runs.figures()["compute"]          # a plotly figure
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from recscale.engine.ready import Sweep as Ready
    from recscale.laws import ScalingLaw
    from recscale.spec import SweepSpec
    from recscale.study import Study


class Sweep:
    """A sweep file."""

    def __init__(self, spec: SweepSpec, path: str):
        self.spec, self.path = spec, path

    def __repr__(self) -> str:
        return f"<sweep {self.spec.name} of {self.path}>"

    def plan(self) -> pd.DataFrame:
        """One row a run that is asked for, the cheapest first, with what it costs; of a search
        those that it would make next. Prepares the data unless it is prepared. Raises SpecError,
        DataError, PlanError, StorageError."""
        import pandas as pd

        from recscale.engine.ready import standing
        from recscale.ledger import Ledger, finished
        from recscale.planner import Launch, decide_search
        from recscale.planner.lawful import values

        ready = self._ready()
        planned = ready.planned
        if ready.problem is not None:
            decision = decide_search(ready.problem, standing(ready))
            planned = decision.runs if isinstance(decision, Launch) else ()
        settled = finished(Ledger(ready.run_dir).records())
        rows = [
            {"run_id": p.run_id, "done": p.run_id in settled, "reason": p.reason}
            | values(p.config.model, p.config.train, p.cost)
            for p in planned
        ]
        return pd.DataFrame(rows)

    def run(self) -> Runs:
        """Runs what the ledger lacks, with a progress bar; the same call goes on. Raises as
        `plan`."""
        from tqdm import tqdm

        from recscale.engine.ready import stay_on_loopback

        ready = self._ready()
        stay_on_loopback()
        from recscale.engine.sweep import run

        with tqdm(desc=self.spec.name, unit="run") as bar:

            def changed(study: Study) -> None:
                bar.total = len(study.planned)
                bar.n = sum(r.settled for r in study.records)
                bar.refresh()

            changed(run(ready, changed).study)
        return open_runs(ready.run_dir)

    def _ready(self) -> Ready:
        from recscale.engine.ready import ready

        return ready(self.spec)


class Runs:
    """A run directory: what has come of a sweep, or what was recorded."""

    def __init__(self, path: str | Path):
        self.path = str(path)
        self._study()  # refuses what is none at once

    def __repr__(self) -> str:
        study = self._study()
        return f"<{study.count('done')} of {len(study.planned)} runs done in {self.path}>"

    def frame(self) -> pd.DataFrame:
        """One row a run; see `recscale.frame`."""
        return self._study().frame()

    def law(self, family: str | None = None) -> ScalingLaw:
        """The law of the runs that may enter it; of a sweep of several families that of the one
        named. Raises LawError."""
        from recscale.laws import LawError

        study = self._study()
        parts = {p.spec.model.family: p for p in study.parts()}
        if family is None and len(parts) == 1:
            return study.law()
        if family not in parts:
            given = f"no family {family!r}" if family else "several families, each with its own law"
            raise LawError(f"{given}; name one of {', '.join(parts)}, such as law({[*parts][0]!r})")
        return parts[family].law()

    def ask(self, compute: str = "10x", beyond: int = 2) -> str:
        """What to train next with more compute, in sentences: FLOPs, or times the largest run;
        `beyond` are the most doublings of an axis. Of several families, of each. Raises LawError,
        ValueError."""
        from recscale.advice import advise
        from recscale.advice.families import advise_each
        from recscale.report.architectures import answers

        study = self._study()
        if len(study.spec.models) > 1:
            return answers(study, *advise_each(study, compute, beyond))
        return advise(study, compute, beyond).sentences()

    def report(self) -> list[str]:
        """Writes report.html and the tables into the run directory, and returns their paths."""
        from recscale.report.page import write_report

        return [str(p) for p in write_report(self._study(), self.path)]

    def figures(self) -> dict[str, Figure]:
        """The report's figures as plotly objects, by what each shows."""
        from plotly.graph_objects import Figure

        from recscale.report.page import figures_of

        return {name: Figure(f) for name, f in figures_of(self._study()).items()}

    def _study(self) -> Study:
        """As the ledger is now."""
        from recscale.study import Study

        return Study.open(self.path)


def load(path: str | Path) -> Sweep:
    """The sweep file at a path. Raises SpecError, FileNotFoundError."""
    from recscale.specfile import load_spec

    return Sweep(load_spec(path), str(path))


def open_runs(path: str | Path) -> Runs:
    """The runs in a run directory. Raises StudyError, StorageError."""
    return Runs(path)


def figures(law: ScalingLaw) -> dict[str, Figure]:
    """What `recscale fit --report` draws of a law, as plotly objects: the loss along each variable
    by its name and, of a law that may be drawn, `fit` and `residuals`."""
    from plotly.graph_objects import Figure

    from recscale.report.law_page import figures_of

    names = (*law.variables, "fit", "residuals")
    return {name: Figure(f) for name, f in zip(names, figures_of(law).values(), strict=False)}
