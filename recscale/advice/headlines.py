"""The advice in a sentence for each family, as the report begins with and a sweep ends with."""

from __future__ import annotations

from recscale.advice.advise import Advice, Grounds, advise_on, grounds
from recscale.advice.runs import budget_of
from recscale.laws import LawError
from recscale.study import Study

ASKED = "10x"
"""Compute that is asked of where nobody says: as `recscale ask` does."""


def asked(study: Study) -> str:
    """The compute to speak of: a search's target, where it is in FLOPs, else ASKED."""
    target = study.search_facts().get("target", "") if study.decisions else ""
    return target if target.endswith("FLOP") else ASKED


def known(study: Study) -> Grounds | str:
    """What advice to a study of one family rests on, or why there is none."""
    try:
        return grounds(study)
    except (LawError, ValueError) as error:
        return f"no advice yet: {error}"


def tried(grounds: Grounds | str, compute: str) -> Advice | str:
    """What `recscale ask` says, or why it says nothing."""
    if isinstance(grounds, str):
        return grounds
    try:
        return advise_on(grounds, compute)
    except (LawError, ValueError) as error:
        return f"no advice yet: {error}"


def headlines(study: Study) -> list[str]:
    """A sentence for each family, at the compute of `asked`, in times the largest run of all."""
    try:
        compute = f"{budget_of(study, asked(study)):.12g}"
    except LawError as error:
        return [sentence(f"no advice yet: {error}")]
    parts = study.parts()
    found = {p.spec.model.family: sentence(tried(known(p), compute)) for p in parts}
    return list(found.values()) if len(parts) == 1 else [f"{k}: {v}" for k, v in found.items()]


def sentence(said: Advice | str) -> str:
    text = (said if isinstance(said, str) else said.headline()).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
