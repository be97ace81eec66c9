"""The planted teacher of the synthetic world: the true click probability of every row.

The probability is a function of what a model can see: dense features, ids as the store holds
them (frequency ranks) and the user's last clicked items. So its cross-entropy on the evaluation
rows is the Bayes loss of that set, exactly. A value that never occurs in training has no effect
of its own: nobody could know it.

logit = bias + sum of per-id biases                      (rows pay: hashed ids share a bias)
      + <item factors, sum of context factors>           (embedding dimension pays: power law)
      + <next-item factors, weighted last items>         (depth pays: weights depend on position)
      + ridge functions of dense and context             (MLP width pays: power law)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIELDS = ("item", "user", "publisher", "campaign", "region", "device", "hour")
CONTEXT = FIELDS[2:]
CARDINALITY = {"publisher": 2000, "campaign": 500, "region": 150, "device": 50, "hour": 24}
DENSE = 8
RECENT = 4
"""Last clicked items that the teacher reads."""

ZIPF = {"item": 1.05, "user": 0.75, "publisher": 1.1, "campaign": 1.05, "region": 0.9,
        "device": 1.2, "hour": 0.3}  # fmt: skip
"""Exponent of each field's popularity."""

BIAS = -1.75
"""With the variances below, about a quarter of the rows are clicked."""

BIAS_VARIANCE = {"item": 0.35, "user": 0.3, "publisher": 0.1, "campaign": 0.06, "region": 0.03,
                 "device": 0.03, "hour": 0.03}  # fmt: skip
"""Logit variance of the per-id biases: items and users first, they have the most rows."""

FACTORS = 64
FACTOR_DECAY = 1.2
"""Variance of factor k falls as k^-decay, so that no dimension is the last one that pays."""
FACTOR_VARIANCE = 1.2

TRANSITIONS = 16
TRANSITION_DECAY = 0.8
TRANSITION_VARIANCE = 1.0
RECENCY = (1.0, -0.6, 0.4, -0.25)
"""Weight of the last, last but one, ... clicked item. The signs alternate, so that a mean over
the history cancels most of what its order says."""

RIDGES = 256
RIDGE_DECAY = 1.0
RIDGE_VARIANCE = 0.8
RIDGE_CONTEXT = 8
"""Leading context factors that the ridge functions see beside the dense features."""


def zipf_weights(size: int, exponent: float) -> np.ndarray:
    """float64 [size], probabilities of ranks 0, 1, ..."""
    edges = np.power(np.arange(size + 1) + 1.0, 1 - exponent)
    weights = np.abs(np.diff(edges))
    return weights / weights.sum()


def zipf_draw(uniform: np.ndarray, size: int, exponent: float) -> np.ndarray:
    """Ranks (int32) in [0, size) at the given quantiles in [0, 1), of density x^-exponent."""
    low, high = np.power(np.array([1.0, size + 1.0]), 1 - exponent)
    x = np.power(low + uniform * (high - low), 1 / (1 - exponent))
    return np.minimum(x.astype(np.int32), size) - 1


@dataclass(frozen=True)
class Teacher:
    """Parameters of a world, one row per id of the store; the row of unseen values is zero."""

    biases: dict[str, np.ndarray]
    """float32 [rows] per field"""
    item: np.ndarray
    """float32 [rows, FACTORS], scaled by the spectrum"""
    context: dict[str, np.ndarray]
    """float32 [rows, FACTORS] per context field"""
    before: np.ndarray
    """float32 [rows + 1, TRANSITIONS]; the last row stands for no item"""
    after: np.ndarray
    """float32 [rows, TRANSITIONS], scaled by the spectrum"""
    ridge_in: np.ndarray
    """float32 [DENSE + RIDGE_CONTEXT, RIDGES]"""
    ridge_shift: np.ndarray
    ridge_out: np.ndarray
    ridge_mean: float

    @classmethod
    def planted(cls, seed: int, rows: dict[str, int]) -> Teacher:
        """The world of `seed` for a store with the given table rows per field."""
        rng = np.random.default_rng([seed, 1])
        weights = {f: np.append(zipf_weights(rows[f] - 1, ZIPF[f]), 0.0) for f in FIELDS}

        def standard(field: str, columns: int) -> np.ndarray:
            """Mean 0 and variance 1 over the rows of the log, not over ids."""
            w = weights[field][:, None]
            z = rng.standard_normal((len(w), columns))
            z -= (w * z).sum(0)
            z /= np.sqrt((w * z * z).sum(0)) + 1e-12
            z[-1] = 0  # values unseen in training
            return z

        biases = {
            f: (standard(f, 1)[:, 0] * BIAS_VARIANCE[f] ** 0.5).astype(np.float32) for f in FIELDS
        }
        scale = np.sqrt(FACTOR_VARIANCE * _spectrum(FACTORS, FACTOR_DECAY))
        item = standard("item", FACTORS) * scale
        context = {f: standard(f, FACTORS) / len(CONTEXT) ** 0.5 for f in CONTEXT}
        recency = sum(w * w for w in RECENCY)
        scale = np.sqrt(TRANSITION_VARIANCE / recency * _spectrum(TRANSITIONS, TRANSITION_DECAY))
        before = np.vstack([standard("item", TRANSITIONS), np.zeros(TRANSITIONS)])
        after = standard("item", TRANSITIONS) * scale
        inputs = DENSE + RIDGE_CONTEXT
        ridge_in = rng.standard_normal((inputs, RIDGES))
        ridge_in *= rng.random((inputs, RIDGES)) < 3 / inputs
        ridge_shift = rng.standard_normal(RIDGES)
        ridge_out = rng.choice([-1.0, 1.0], RIDGES) * np.sqrt(_spectrum(RIDGES, RIDGE_DECAY))
        sample = rng.standard_normal((8192, inputs))
        values = np.maximum(sample @ ridge_in + ridge_shift, 0) @ ridge_out
        ridge_out *= RIDGE_VARIANCE**0.5 / values.std()
        mean = float(values.mean() * RIDGE_VARIANCE**0.5 / values.std())
        f4 = np.float32
        return cls(
            biases=biases,
            item=item.astype(f4),
            context={f: c.astype(f4) for f, c in context.items()},
            before=before.astype(f4),
            after=after.astype(f4),
            ridge_in=ridge_in.astype(f4),
            ridge_shift=ridge_shift.astype(f4),
            ridge_out=ridge_out.astype(f4),
            ridge_mean=mean,
        )

    def probability(self, dense: np.ndarray, ids: np.ndarray, recent: np.ndarray) -> np.ndarray:
        """True click probability, float64 [B].

        dense [B, DENSE]; ids [B, fields], in the order of FIELDS; recent [B, RECENT]: the user's
        last clicked items, newest first, -1 where there is none.
        """
        column = {f: ids[:, i] for i, f in enumerate(FIELDS)}
        logit = np.full(len(ids), BIAS - self.ridge_mean, np.float32)
        for field, bias in self.biases.items():
            logit += bias[column[field]]
        context = np.zeros((len(ids), FACTORS), np.float32)
        for field, factors in self.context.items():
            context += factors[column[field]]
        logit += np.einsum("bk,bk->b", self.item[column["item"]], context)
        moved = np.zeros((len(ids), TRANSITIONS), np.float32)
        for position, weight in enumerate(RECENCY):
            moved += np.float32(weight) * self.before[recent[:, position]]
        logit += np.einsum("bk,bk->b", self.after[column["item"]], moved)
        seen = np.concatenate([dense, context[:, :RIDGE_CONTEXT]], axis=1)
        hidden = seen @ self.ridge_in
        hidden += self.ridge_shift
        np.maximum(hidden, 0, out=hidden)
        logit += hidden @ self.ridge_out
        return 1 / (1 + np.exp(-logit.astype(np.float64)))


def _spectrum(size: int, decay: float) -> np.ndarray:
    """float64 [size], falling as k^-decay, of sum 1."""
    values = np.arange(1, size + 1) ** -decay
    return values / values.sum()
