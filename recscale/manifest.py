"""What a prepared data set says of itself: the facts that costs, plans and identities need."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from recscale.crc import KEY, of_json, with_crc
from recscale.storage import StorageError, filesystem, read
from recscale.values import Frozen

MANIFEST = "manifest.json"
CHECKSUMS = "checksums"  # the array of the checksums of all others
VERSION = 2
"""Of the layout. A store of another version is prepared again. 2: with checksums."""


class StoreError(StorageError):
    """The folder holds no store that this version can read, or a damaged one; the sentence says
    what to do."""


class TableFacts(Frozen):
    """One categorical feature."""

    name: str
    rows: int
    """Rows of an uncapped embedding table: ids seen in training, and one for all others."""
    distinct: int
    """Distinct raw values in the training part."""
    collision_rate: float = 0.0
    """Share of distinct raw values that share their id with another one after hashing."""
    unseen_rate: float = 0.0
    """Share of evaluation rows, of a bag of evaluation values, whose value never occurs in the
    training part."""
    bag: bool = False
    """Whether a row holds any number of values, which the model pools into one vector."""
    mean_length: float = 1.0
    """Values of a training row on average: 1 but for a bag."""
    weighted: bool = False
    """Whether a bag's pool is weighted by a column of the log; otherwise it is the plain mean."""


class LabelFacts(Frozen):
    """One of several labels."""

    name: str
    weight: float
    """In the loss; only ratios count."""
    rate_train: float
    rate_eval: float
    baselines: dict[str, float] = {}
    """As those of the manifest, of this label alone."""


class Floor(Frozen):
    """The teacher's own loss on the evaluation set; only a synthetic world knows it."""

    log_loss: float
    """Mean cross-entropy of the true probabilities against the labels drawn (nats)."""
    ne: float
    expected_log_loss: float
    """Mean entropy of the true probabilities (nats): the floor in expectation over labels."""


class Manifest(Frozen):
    """Written last; a store without it is not prepared."""

    version: int = 1
    source: str
    task: str
    fingerprint: str
    """Hash of the prepared arrays: enters the identity of every run."""
    n_train: int
    n_eval: int
    tables: tuple[TableFacts, ...]
    """Those of one value a row first, in the order of the columns of `ids`; then the bags."""
    dense: tuple[str, ...]
    history: str | None
    """Name of the table whose ids the user histories hold, or None without histories."""
    history_mean_length: float = 0.0
    order: str = "time"
    label_rate_train: float | None = None
    """Of several labels the first one's, as in `label_rate_eval`."""
    label_rate_eval: float | None = None
    labels: tuple[LabelFacts, ...] = ()
    """Where a row has several labels, all of them; empty where it has one."""
    time_range_train: tuple[str, str] | None = None
    time_range_eval: tuple[str, str] | None = None
    raw_rows: int
    dropped: dict[str, int] = {}
    """Reason -> rows dropped."""
    notes: dict[str, str] = {}
    """Choices that a reader of a result must know, such as how negatives were drawn."""
    warnings: tuple[str, ...] = ()
    """What may spoil a result, a sentence each: said by `prepare`, `plan` and the report."""
    baselines: dict[str, float] = {}
    """Evaluation loss (nats a sample) of what needs no training, such as `constant rate`; see
    `recscale.data.baselines`."""
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    """What one step of the store's `time` is: the finest that the log needs."""
    floor: Floor | None = None

    def baselines_in(self, loss: str) -> dict[str, float]:
        """The baselines in the unit of a column of losses: `eval_loss` (nats) or `eval_ne`; empty
        for others."""
        entropy, known = 0.0, {"eval_loss": self.baselines, "eval_ne": self.baselines}
        rates = [x.rate_eval for x in self.labels] or [self.label_rate_eval or 0.0]
        for rate, share in zip(rates, self.label_shares, strict=True):
            entropy += share * coin(rate)
        for x in self.labels:
            known |= {f"eval_loss_{x.name}": x.baselines, f"eval_ne_{x.name}": x.baselines}
            if loss == f"eval_ne_{x.name}":
                entropy = coin(x.rate_eval)
        found = known.get(loss, {})
        if not loss.startswith("eval_ne"):
            return found
        return {name: nats / entropy for name, nats in found.items()} if entropy else {}

    def judged_by(self, loss: str) -> str:
        """The column of losses in nats that is held against baselines where a law is of the column
        `loss`: a label's own where the law is of that label, else `eval_loss`."""
        of = {
            f"eval_{m}_{x.name}": f"eval_loss_{x.name}" for x in self.labels for m in ("loss", "ne")
        }
        return of.get(loss, "eval_loss")

    @property
    def label_shares(self) -> tuple[float, ...]:
        """Of each label in the loss; they add up to 1."""
        weights = [x.weight for x in self.labels] or [1.0]
        return tuple(w / sum(weights) for w in weights)

    @property
    def label_rates(self) -> tuple[float, ...]:
        """How often each label is 1 in the training window; a half where that is not known."""
        rate = 0.5 if self.label_rate_train is None else self.label_rate_train
        return tuple(x.rate_train for x in self.labels) or (rate,)

    def table(self, name: str) -> TableFacts:
        return next(t for t in self.tables if t.name == name)

    @property
    def plain(self) -> tuple[TableFacts, ...]:
        """The tables of one value a row."""
        return tuple(t for t in self.tables if not t.bag)

    @property
    def bags(self) -> tuple[TableFacts, ...]:
        return tuple(t for t in self.tables if t.bag)

    @property
    def items(self) -> TableFacts:
        """The table of the items that histories hold. Raises StopIteration without histories."""
        return self.table(str(self.history))


def coin(p: float) -> float:
    """Entropy of a coin, nats: the loss of knowing only the base rate p."""
    return 0.0 if p in (0.0, 1.0) else -p * math.log(p) - (1 - p) * math.log1p(-p)


def unused(name: str, taken: Collection[str]) -> str:
    """`name`, or with underscores after it while the log has a column of that name: our own names
    give way, never the user's."""
    while name in taken:
        name += "_"
    return name


PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Steps of each `time_unit`"""


class Seal(Frozen):
    """What vouches for the files of a store; see `recscale.data.checksums`."""

    store: str
    """Name of the folder that it was prepared as."""
    bytes: dict[str, int]
    """Of the file of every array."""
    checksums: int
    """CRC-32 of the checksums of their blocks."""


def sealed(manifest: Manifest, seal: Seal) -> str:
    """The text of a manifest's file: its facts, the seal, and last a CRC-32 of both."""
    facts = {**manifest.model_dump(mode="json"), "seal": seal.model_dump()}
    return json.dumps(with_crc(facts), indent=1)


def prepare_anew(store: str | Path) -> str:
    """What to do about a store that cannot be used."""
    return (
        f"remove the folder {store}: `recscale prepare` or `recscale run` on the sweep file then "
        "prepares the data anew, and no run that is done is lost"
    )


def load_sealed(store: str | Path) -> tuple[Manifest, Seal]:
    """Manifest of a prepared store, at a path or URI, and what vouches for its arrays.

    Raises FileNotFoundError when it is not prepared, and StoreError for a manifest that was
    changed since, or is of another version of the layout.
    """
    fs, root = filesystem(store)
    text = read(fs, f"{root}/{MANIFEST}")
    place, again = f"{store}/{MANIFEST}", prepare_anew(store)
    try:
        facts: dict[str, Any] = json.loads(text)
        version, crc = facts["version"], facts.pop(KEY, None)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise StoreError(f"{place} is damaged: it is no manifest; {again}") from None
    if version != VERSION and crc in (None, of_json(facts)):
        raise StoreError(
            f"{store} was prepared in layout {version}, this version reads layout {VERSION}; "
            f"{again}"
        )
    if crc != of_json(facts):
        raise StoreError(f"{place} is damaged: its checksum does not fit; {again}")
    try:
        seal = Seal.model_validate(facts.pop("seal", None))
        return Manifest.model_validate(facts), seal
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise StoreError(
            f"{place} was written by another version of recscale ({what}); {again}"
        ) from None


def load_manifest(store: str | Path) -> Manifest:
    """The manifest alone; raises as `load_sealed`."""
    return load_sealed(store)[0]
