"""From finished runs to a belief."""

from __future__ import annotations

import numpy as np

from recscale.laws.belief import Belief
from recscale.laws.choice import CATALOGUE, build
from recscale.laws.coupled import Gamma
from recscale.laws.forms import Additive, Form
from recscale.laws.gridded import Gridded
from recscale.laws.modes import Fitted, Sample, mode
from recscale.laws.nouns import Points
from recscale.laws.origins import past_of

CELLS = 160  # rows that a kernel is solved for; more are averaged with their neighbours first


def believe(form: str, variables: tuple[str, ...], sample: Sample) -> Belief:
    """The belief after a sample of at least one run; `form` as in `recscale.laws.fit`."""
    return belief_of(_form(form, variables, sample), sample)


def belief_of(form: Form, sample: Sample) -> Belief:
    """The belief after a sample of at least one run, in a form with all that it knows of the runs.

    An additive law is mixed with the gamma law, and a bounded one with both, by how well each
    predicted expensive runs from cheap ones.
    """
    rough = mode(form, sample)
    cells = merged(sample, rough)
    laws = [mode(form, cells, rough.eta)]
    if form.name == "bounded":
        laws.append(mode(Additive(form.variables, form.centre), cells))
    if laws[-1].form.name == "additive" and len(form.variables) in CATALOGUE["gamma"].takes:
        bent = Gamma(form.variables, form.centre)
        laws.append(mode(bent, cells, np.r_[laws[-1].eta, 0.0]))  # gamma is 1 there
    return Belief(cells, tuple(Gridded.of(law, cells) for law in laws), past_of(cells, tuple(laws)))


def exact(form: str, variables: tuple[str, ...], sample: Sample) -> Fitted:
    """The law alone at its posterior mode: enough to see where the frontier runs."""
    return mode(_form(form, variables, sample), sample)


def _form(name: str, variables: tuple[str, ...], sample: Sample) -> Form:
    n = len(sample.logy)
    codes = np.arange(n)
    points = Points(
        variables, "loss", sample.logx, np.exp(sample.logy), np.ones(n), codes,
        sample.order.astype(float), codes,
    )  # fmt: skip
    return build("additive" if name == "auto" else name, points)


def merged(sample: Sample, law: Fitted) -> Sample:
    """The sample with runs at one place averaged, and where more than CELLS places are left with
    near ones averaged too, about the law; runs far off it count for less.

    A kernel that is alike over .4 decades loses next to nothing by it, and every run is used.
    """
    x = sample.logx
    wide, key = 0.0, np.unique(np.round(x, 9), axis=0, return_inverse=True)[1].ravel()
    while key.max(initial=0) >= CELLS:
        wide = max(2 * wide, 0.01)  # of a natural logarithm
        key = np.unique(np.floor(x / wide), axis=0, return_inverse=True)[1].ravel()
    if key.max(initial=0) + 1 == len(x):
        return sample
    precision = 1 / (law.units(sample) + law.extra / law.noise**2)
    total = np.bincount(key, precision)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(key, precision * values) / total

    centre = np.stack([mean(x[:, i]) for i in range(x.shape[1])], 1)
    gap = mean(sample.logy - law.formula(x))
    rank = np.empty(len(x))
    rank[sample.order] = np.arange(len(x))
    order = np.argsort(mean(rank), kind="stable")
    runs = law.scatter(centre) ** 2 * total
    codes = None
    if sample.training is not None:  # rows averaged over the same trainings share what those share
        codes = np.full(len(total), np.iinfo(int).max)
        np.minimum.at(codes, key, sample.codes)
    return Sample(centre, law.formula(centre) + gap, np.zeros(len(total)), order, runs, codes)
