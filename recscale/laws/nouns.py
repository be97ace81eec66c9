"""The words every module of the laws shares: the error, the status of a fit, the checked points."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np


class LawError(ValueError):
    """What is wrong with a table or a question, and what to do about it, in one sentence."""


class Status(StrEnum):
    """How far a fit can be believed.

    CONVERGED: the global optimum lies inside the allowed region.
    BOUND_HIT: the optimum lies at the edge (a constant of 0, a term of 0, an exponent at its
        limit): the numbers describe the data but do not establish a law.
    UNINFORMATIVE: the optimum, inside or at the edge, explains no more than a form of so many
        constants would of losses that do not depend on the variables: its coefficients describe
        noise.
    UNDERDETERMINED: the points cannot determine the form; there are no coefficients.
    """

    CONVERGED = "converged"
    BOUND_HIT = "bound_hit"
    UNINFORMATIVE = "uninformative"
    UNDERDETERMINED = "underdetermined"

    @property
    def determined(self) -> bool:
        """Whether the points say anything of the law: questions may be asked of it."""
        return self in (Status.CONVERGED, Status.BOUND_HIT)


class Role(StrEnum):
    """What a constant of a law stands for.

    LIMIT: the loss (or metric) that no amount of the variables passes.
    SCALE: the multiplier of a variable's term; it moves with the exponent and says nothing alone.
    EXPONENT: how fast the term of a variable falls.
    SHAPE: how terms combine, bend or turn.
    """

    LIMIT = "limit"
    SCALE = "scale"
    EXPONENT = "exponent"
    SHAPE = "shape"


@dataclass(frozen=True)
class Constant:
    """A constant of a form: what it is called, what it stands for, and of which variable."""

    name: str
    role: Role
    variable: str | None = None


@dataclass(frozen=True)
class Points:
    """Runs that passed the checks, as arrays; n rows, p variables.

    Attributes:
        logx: (n, p) natural logarithms of the variables.
        y: (n,) losses or metrics, positive.
        weights: (n,) positive, mean 1.
        cluster: (n,) integer codes; rows of one run share a code.
        rank: (n,) log cost, orders runs from cheap to expensive.
        labels: (n,) the index of each row in the caller's frame.
        dropped: rows left out, each {"row": label, "reason": sentence}.
        notes: sentences about the table a reader should know.
        levels: for each variable the log of where its value 0 stands, NaN where it has none; empty
            where no variable has.
        harmful: variables of which more may also harm.
    """

    variables: tuple[str, ...]
    loss: str
    logx: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    cluster: np.ndarray
    rank: np.ndarray
    labels: np.ndarray
    dropped: tuple[dict, ...] = ()
    notes: tuple[str, ...] = field(default=())
    levels: tuple[float, ...] = ()
    harmful: tuple[str, ...] = ()

    @property
    def zeros(self) -> np.ndarray:
        return np.array(self.levels or (np.nan,) * len(self.variables))

    @property
    def n(self) -> int:
        return len(self.y)

    @property
    def runs(self) -> int:
        """Independent runs: rows, or clusters where rows are checkpoints of one run."""
        return len(np.unique(self.cluster))

    def take(self, keep: np.ndarray) -> "Points":
        """The rows `keep` (boolean mask or positions), with weights left as they are."""
        return Points(
            self.variables, self.loss, self.logx[keep], self.y[keep], self.weights[keep],
            self.cluster[keep], self.rank[keep], self.labels[keep], self.dropped, self.notes,
            self.levels, self.harmful,
        )  # fmt: skip
