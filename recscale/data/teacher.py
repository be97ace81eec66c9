"""The planted teacher of the synthetic world: the true click probability of every row.

The probability is a function of what a model can see: dense features, ids as the store holds
them (frequency ranks) and the user's last clicked items. So its cross-entropy on the evaluation
rows is the Bayes loss of that set, exactly. A value that never occurs in training has no effect
of its own: nobody could know it.

With phi(x) the dense features, then ridge functions of them such as |a x_i + b x_j + c|:

logit = constant
      + bias    a number per id: hashed ids share it, so rows pay
      + ridge   <w, phi(x)>: power-law weights, and kinks that narrow layers cannot bend to, so MLP
                width pays
      + factors <sum of the ids' responses, phi(x)>: power-law, so embedding dimension pays
      + past    the last clicked items' numbers and responses, weighted by recency, and the
                product of the last two numbers: a mean over the history loses them, so depth pays

The constants were chosen by training DLRMs of all sizes on the world. Three of them matter for a
*smooth* law: responses lean on the directions in which dense features and biases act on their own
(purely bilinear, zero-mean interactions are found suddenly and late, at a step that differs from
seed to seed), few fields respond (thin effects drown in noise), and dense features have sd 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIELDS = ("item", "user", "publisher", "campaign", "region", "device", "hour")
CARDINALITY = {"publisher": 2000, "campaign": 100, "region": 150, "device": 50, "hour": 24}
"""Of the fields whose number of values the spec leaves open."""

ZIPF = {"item": 1.2, "user": 0.8, "publisher": 1.2, "campaign": 1.05, "region": 0.9,
        "device": 0.9, "hour": 0.3}  # fmt: skip
"""Exponent of each field's popularity. The 100 first of 10,000 items have 72 % of the rows, the
100 first of 20,000 users 24 %: rows pay from hundreds to all."""

DENSE = 16
DENSE_SD = 2.0
"""Makes the first layers of a model vary with the dense features from the first step on."""

CONSTANT = -1.5
"""With the variances below, about a quarter of the rows are clicked."""

BIAS_VARIANCE = {"item": 0.3, "user": 0.2, "publisher": 0.1, "campaign": 0.05, "region": 0.03,
                 "device": 0.03, "hour": 0.03}  # fmt: skip
"""Logit variance of the per-id numbers: users take much data to tell."""

RIDGES = 256
RIDGE_INPUTS = 2
"""Dense features in a ridge function, on average."""
RIDGE_DECAY = 0.9
"""Variance of the k-th falls as k^-decay, here and below: no width or dimension is the last that
pays."""
RIDGE_VARIANCE = 0.8
LINEAR_DECAY = 1.1
LINEAR_VARIANCE = 0.5
"""Of the dense features themselves."""

FACTORS = 64
"""Leading entries of phi that ids respond to."""
FACTOR_DECAY = 1.0
FACTOR_VARIANCE = {"item": 0.7, "campaign": 0.5, "device": 0.5}

RECENCY = (1.0, 0.4, 0.16, 0.064)
"""Weights of the last clicked items, newest first."""
RECENT = len(RECENCY)
PAST_VARIANCE = {"number": 0.95, "response": 0.15, "product": 0.15}
PAST_FACTORS = 8
PAST_DECAY = 1.0


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
    """Parameters of a world, float32, a row per id of the store; rows of unseen values are 0."""

    number: dict[str, np.ndarray]
    """[rows] per field"""
    response: dict[str, np.ndarray]
    """[rows, FACTORS] per field of FACTOR_VARIANCE"""
    past: np.ndarray
    """[rows + 1, 1 + PAST_FACTORS] of a clicked item: number and response; last row: no item"""
    ridge: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Weights [DENSE, RIDGES], shifts and means [RIDGES] of the ridge functions"""
    weight: np.ndarray
    """[DENSE + RIDGES], of phi on its own"""

    @classmethod
    def planted(cls, seed: int, rows: dict[str, int]) -> Teacher:
        """The world of `seed` for a store whose tables have these rows, per field."""
        rng = np.random.default_rng([seed, 1])
        popularity = {f: np.append(zipf_weights(rows[f] - 1, ZIPF[f]), 0.0) for f in FIELDS}

        def standard(field: str, columns: int) -> np.ndarray:
            """[rows, columns] of mean 0 and variance 1 over the rows of the log, not over ids."""
            w = popularity[field][:, None]
            z = rng.standard_normal((len(w), columns))
            z -= (w * z).sum(0)
            z /= np.sqrt((w * z * z).sum(0)) + 1e-12
            z[-1] = 0  # values unseen in training
            return z

        number = {f: standard(f, 1) for f in FIELDS}
        scale = np.sqrt(_spectrum(FACTORS, FACTOR_DECAY))
        response = {}
        for field, variance in FACTOR_VARIANCE.items():
            rest = standard(field, FACTORS - 1)
            response[field] = np.hstack([number[field], rest]) * scale * variance**0.5
        each = sum(w * w for w in RECENCY)
        spectrum = PAST_VARIANCE["response"] * _spectrum(PAST_FACTORS, PAST_DECAY)
        variance = np.append(PAST_VARIANCE["number"], spectrum) / each
        past = standard("item", 1 + PAST_FACTORS) * np.sqrt(variance)
        ridge, weight = _ridges(rng)
        return cls(
            number={f: _f4(n[:, 0] * BIAS_VARIANCE[f] ** 0.5) for f, n in number.items()},
            response={f: _f4(r) for f, r in response.items()},
            past=_f4(np.vstack([past, np.zeros(1 + PAST_FACTORS)])),
            ridge=ridge,
            weight=weight,
        )

    def probability(self, dense: np.ndarray, ids: np.ndarray, recent: np.ndarray) -> np.ndarray:
        """True click probability, float64 [B].

        dense [B, DENSE]; ids [B, fields], in the order of FIELDS; recent [B, RECENT]: the user's
        last clicked items, newest first, -1 where there is none.
        """
        logit = sum(self.parts(dense, ids, recent).values(), np.float32(CONSTANT))
        return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))

    def parts(
        self, dense: np.ndarray, ids: np.ndarray, recent: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The terms of the logit, float32 [B] each, for the arguments of `probability`."""
        column = {f: ids[:, i] for i, f in enumerate(FIELDS)}
        bias = sum(n[column[f]] for f, n in self.number.items())
        phi = _phi(dense / np.float32(DENSE_SD), self.ridge)
        response = sum(r[column[f]] for f, r in self.response.items())
        clicked = self.past[recent]  # [B, RECENT, 1 + PAST_FACTORS]
        past = np.einsum("brk,r->bk", clicked, np.array(RECENCY, np.float32))
        scale = PAST_VARIANCE["product"] ** 0.5 / PAST_VARIANCE["number"]
        product = (
            np.float32(scale * sum(w * w for w in RECENCY)) * clicked[:, 0, 0] * clicked[:, 1, 0]
        )
        return {
            "bias": np.asarray(bias),
            "ridge": phi @ self.weight,
            "factors": np.einsum("bk,bk->b", response, phi[:, :FACTORS]),
            "past": past[:, 0]
            + np.einsum("bk,bk->b", past[:, 1:], phi[:, :PAST_FACTORS])
            + product,
        }


_Ridge = tuple[np.ndarray, np.ndarray, np.ndarray]


def _phi(x: np.ndarray, ridge: _Ridge) -> np.ndarray:
    """float32 [B, DENSE + RIDGES]: x [B, DENSE] of variance 1, then ridge functions of it."""
    into, shift, mean = ridge
    phi = np.empty((len(x), DENSE + RIDGES), np.float32)
    phi[:, :DENSE] = x
    hidden = phi[:, DENSE:]
    np.matmul(x, into, out=hidden)
    hidden += shift
    np.abs(hidden, out=hidden)
    hidden -= mean
    return phi


def _ridges(rng: np.random.Generator) -> tuple[_Ridge, np.ndarray]:
    """Ridge functions of mean 0 and variance 1, and weights that give their sum its variance."""
    into = rng.standard_normal((DENSE, RIDGES))
    into *= rng.random((DENSE, RIDGES)) < RIDGE_INPUTS / DENSE
    shift = 0.3 * rng.standard_normal(RIDGES)
    sample = rng.standard_normal((8192, DENSE))
    hidden = np.abs(sample @ into + shift)
    mean, spread = hidden.mean(0), hidden.std(0) + 1e-2  # a ridge of no feature has spread 0
    bent = rng.choice([-1.0, 1.0], RIDGES) * np.sqrt(_spectrum(RIDGES, RIDGE_DECAY))
    bent *= RIDGE_VARIANCE**0.5 / ((hidden - mean) / spread @ bent).std()
    straight = np.sqrt(LINEAR_VARIANCE * _spectrum(DENSE, LINEAR_DECAY))
    weight = np.append(straight * rng.choice([-1.0, 1.0], DENSE), bent)
    return (_f4(into / spread), _f4(shift / spread), _f4(mean / spread)), _f4(weight)


def _spectrum(size: int, decay: float) -> np.ndarray:
    """float64 [size], falling as k^-decay, of sum 1."""
    values = np.arange(1, size + 1) ** -decay
    return values / values.sum()


def _f4(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
