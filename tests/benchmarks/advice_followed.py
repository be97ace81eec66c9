"""Advice followed: sweep, train what `ask --compute 10x` says, and three rivals of equal FLOPs.

    python tests/benchmarks/advice_followed.py RETAIL BANDIT [--worlds a,b] [--storage DIR]

Small sweeps of planted worlds and of two real logs, trained in this process and kept in `storage`,
so that the same command goes on where it was stopped and asks again for nothing but the advice.
Rivals: all axes scaled alike; the axis whose doubling measured most, alone; the best run so far
with more of the data. Each is trained with every seed of the sweep. Printed for each world: regret
(loss over that of the best of the four), whether the advised run came out inside its promised
interval, and whether a gain that was promised (interval above 0) is one.

CHOSEN worlds are those that choices of the advice were made on; the others judge it.

Synthetic worlds, last run 2026-11-30 by the advice of that day, 10 of 12 (`--worlds wide,deep,
walks,passes,grid,rows,one-axis,cross,wukong,hstu`):

  chosen on (4)  best or within noise of it 2, regret 1.3 % in the median, 1.9 % at worst (deep: a
                 noisy step hid that blocks pay; passes: one instead of two); losses inside 6 of 8,
                 gains 6 of 8; promised gains real 1 of 1
  judged (6)     best or within noise of it 5, regret 0.00 %, 0.4 % at worst; losses inside 9 of
                 12, gains 9 of 12; promised gains real 1 of 1

Real logs, last run 2026-12-01. Which of them judge, and their sizes (the shares of `sales` halved
and those of `baskets` quartered, for time), were settled before a result was seen. Every run of the
retail sweeps loses to a baseline, such as an item's own rate.

  chosen on (4)  sales-cross, baskets-long: best or within noise of it 1, regret 0.4 and 0.8 %;
                 losses inside 0 of 4, gains 0 of 4 (2.6 and 2.1 times the foretold); promised gains
                 real 2 of 2. With two doublings of the data at most, as before: regret 6.5 and
                 4.4 %, losses inside 2 of 4. sales-time, shop-bts: no law, no advice (before: runs
                 16 and 0.1 % worse than the best rival, by laws that explained nothing)
  judged (5)     sales, baskets, baskets-hstu, sales-wukong: best or within noise of it 2, regret
                 0.9 % in the median, 2.1 % at worst; losses inside 0 of 8, gains 0 of 8 (2.2 to 3.7
                 times the foretold); no gain promised. shop: no law, no advice

Left to mend: laws of runs near a guess foretell too little of what more data gives; and of
configurations within one run's noise the cheapest is taken, with half of the compute unspent, where
the best run's own size on more data was better by 0.9 and 2.1 % (baskets-hstu, baskets).
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from default_logs import bandit

from recscale.advice import advise
from recscale.advice.gains import measured_steps
from recscale.advice.options import Option, option, swept
from recscale.advice.runs import best_so_far
from recscale.advice.words import described
from recscale.cost import estimate
from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.engine.job import unbeaten
from recscale.families import ModelConfig
from recscale.ledger import Ledger, finished
from recscale.planner import Planned, planned_runs
from recscale.run import RunConfig, RunRecord
from recscale.spec import TRAINING_AXES
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry
from recscale.train.host import PlainHost
from recscale.train.loop import train

COMPUTE = "10x"
CHOSEN = (
    "wide",
    "deep",
    "walks",
    "passes",
    "sales-time",
    "sales-cross",
    "baskets-long",
    "shop-bts",
)
"""Worlds that the advice was worked out on; the others judge it."""


def click(seed: int, rows: int = 160_000, users: int = 1500, items: int = 800) -> str:
    return f"{{source: synthetic, rows: {rows}, users: {users}, items: {items}, seed: {seed}}}"


def walk(seed: int, rows: int = 300_000, users: int = 4000, items: int = 400) -> str:
    world = click(seed, rows, users, items)
    return world.replace("{", "{task: next_item, ", 1)


ROUND = "{strategy: axes}"
SALES = "source: events, path: RETAIL, order: hash, holdout: {last: 2%}"
BUYER = "user: customer_id, item: item, time: timestamp"
SHOWN = "user: user, item: item_id, time: timestamp, label: click"
USER = ", ".join(f"user_feature_{i}" for i in range(4))
BOUGHT = (
    f"{{{SALES}, task: click, columns: {{{BUYER}, sparse: [country], dense: [unit_price]}}, "
    "negatives: {per_positive: 4, distribution: popularity}}"
)
BASKETS = f"{{{SALES}, task: next_item, columns: {{{BUYER}}}}}"
VIEWS = (
    "{source: events, path: BANDIT, order: hash, "
    f"columns: {{{SHOWN}, sparse: [{USER}, position]}}}}"
)
WORLDS: dict[str, tuple[str, str, str, int, str]] = {
    "wide": (
        click(101), "dlrm, embedding_dim: [4, 8, 16], mlp_width: [8, 16, 32, 64], "
        "sequence_length: 4", "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "deep": (
        click(102), "dlrm, embedding_dim: [8, 16, 32], mlp_width: 32, sequence_depth: [0, 1, 2], "
        "sequence_width: 16, sequence_length: 8", "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "walks": (
        walk(103), "decoder, sequence_width: [8, 16, 32], sequence_depth: [1, 2], "
        "sequence_length: 16", "[0.06, 0.12, 0.25, 0.5]", 1, "{strategy: grid}",
    ),
    "grid": (
        click(201), "dlrm, embedding_dim: [4, 8, 16], mlp_width: [8, 16, 32], sequence_length: 4",
        "[0.06, 0.12, 0.25, 0.5]", 1, "{strategy: grid}",
    ),
    "cross": (
        click(202), "dcnv2, embedding_dim: [4, 8, 16], cross_layers: [1, 2, 3], "
        "mlp_width: [16, 32, 64], sequence_length: 4", "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "wukong": (
        click(203), "wukong, embedding_dim: 8, layers: [1, 2, 3], n_F: 4, n_L: 4, k: 4, "
        "mlp_width: [16, 32, 64], sequence_length: 4", "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "rows": (
        click(204, 160_000, 6000, 3000), "dlrm, embedding_dim: [4, 8, 16], "
        "embedding_rows: [100, 400, 1600], mlp_width: 16, sequence_length: 4",
        "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "history": (
        click(205), "dlrm, embedding_dim: [8, 16], mlp_width: [16, 32, 64], "
        "sequence_depth: [0, 1], sequence_width: [8, 16, 32], sequence_length: 8",
        "[0.06, 0.12, 0.25, 0.5]", 2, "{strategy: axes, base: {sequence_depth: 1}}",
    ),
    "decoder": (
        walk(206), "decoder, sequence_width: [8, 16, 32, 64], sequence_depth: [1, 2, 4], "
        "sequence_length: 16", "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "hstu": (
        walk(207), "hstu, sequence_width: [8, 16, 32], sequence_depth: [1, 2], "
        "sequence_length: [8, 16]", "[0.06, 0.12, 0.25, 0.5]", 2, ROUND,
    ),
    "passes": (
        click(208, 60_000), "dlrm, embedding_dim: [4, 8, 16], mlp_width: 16, sequence_length: 4",
        "[0.12, 0.25, 0.5]", 1, "{strategy: grid}; epochs: [1, 2, 4]",
    ),
    "one-axis": (
        click(209), "dlrm, embedding_dim: 8, mlp_width: [8, 16, 32, 64], "
        "sequence_length: 4", "[0.06, 0.12, 0.25, 0.5]", 2, "{strategy: grid}",
    ),
    "sales": (
        BOUGHT, "dlrm, "
        "embedding_dim: [4, 8, 16, 32], mlp_width: [16, 32, 64], sequence_length: 8",
        "[0.005, 0.01, 0.02, 0.04]", 2, ROUND,
    ),
    "sales-wukong": (
        BOUGHT, "wukong, embedding_dim: [4, 8, 16], layers: [1, 2, 3], n_F: 4, n_L: 4, k: 4, "
        "mlp_width: 32, sequence_length: 4", "[0.005, 0.01, 0.02, 0.04]", 2, ROUND,
    ),
    "sales-time": (
        BOUGHT.replace("order: hash", "order: time"), "dlrm, embedding_dim: [4, 8, 16], "
        "mlp_width: [16, 32, 64], sequence_length: 8", "[0.005, 0.01, 0.02, 0.04]", 2, ROUND,
    ),
    "sales-cross": (
        BOUGHT, "dcnv2, embedding_dim: [4, 8, 16], cross_layers: [1, 2, 3], mlp_width: 32, "
        "sequence_length: 4", "[0.005, 0.01, 0.02, 0.04]", 2, ROUND,
    ),
    "baskets": (
        BASKETS, "decoder, sequence_depth: [1, 2], sequence_width: [8, 16, 32], "
        "sequence_length: 16", "[0.01, 0.02, 0.04, 0.08]", 1, "{strategy: grid}",
    ),
    "baskets-hstu": (
        BASKETS, "hstu, sequence_width: [8, 16, 32], sequence_depth: [1, 2], "
        "sequence_length: 8", "[0.01, 0.02, 0.04, 0.08]", 2, ROUND,
    ),
    "baskets-long": (
        BASKETS, "decoder, sequence_width: [8, 16], sequence_depth: 1, "
        "sequence_length: [4, 8, 16]", "[0.01, 0.02, 0.04, 0.08]", 2, ROUND,
    ),
    "shop": (
        VIEWS, "dlrm, embedding_dim: [4, 8, 16], mlp_width: [8, 16, 32]", "[0.1, 0.2, 0.4]", 2,
        ROUND,
    ),
    "shop-bts": (
        VIEWS, "deepfm, embedding_dim: [4, 8, 16], mlp_width: [8, 16, 32]", "[0.1, 0.2, 0.4]", 2,
        ROUND,
    ),
}  # fmt: skip
"""Data, model, data fractions, seeds, search (with epochs behind a semicolon)."""


def text_of(name: str) -> str:
    """The world's sweep file."""
    data, model, fractions, seeds, search = WORLDS[name]
    search, _, more = search.partition("; ")
    more = f", {more}" if more else ""
    # the real logs' small shares lose to rates that know all of the training part
    law = "law: {below_baseline: true}\n" if "events" in data else ""
    return (
        f"name: {name}\ndata: {data}\nmodel: {{family: {model}}}\ntrain: {{data_fraction: "
        f"{fractions}, batch_size: 128, seeds: {seeds}, eval_points: 1{more}}}\n"
        f"search: {search}\n{law}budget: {{flop: 1e18}}\n"
    )


def main() -> None:
    parse = argparse.ArgumentParser()
    parse.add_argument("retail")
    parse.add_argument("bandit", type=Path)
    parse.add_argument("--worlds", default=",".join(WORLDS))
    parse.add_argument("--storage", type=Path, default=None)
    parse.add_argument("--sweep-only", action="store_true", help="train the sweeps and no advice")
    asked = parse.parse_args()
    torch.set_num_threads(1)
    storage, found = asked.storage or Path(tempfile.mkdtemp()), []
    for name in asked.worlds.split(","):
        began = time.time()
        study, store, ledger = sweep(name, asked.retail, asked.bandit, storage)
        took = time.time() - began
        if asked.sweep_only:
            print(f"{name}: {len(study.records)} runs, {took:.0f} s", flush=True)
            continue
        found.append(followed(name, study, store, ledger))
        print(line(found[-1]), flush=True)
    for words, kind in (("chosen on", True), ("judged", False)):
        print(summary([f for f in found if (f["world"] in CHOSEN) == kind], words))


def sweep(name: str, retail: str, shop: Path, storage: Path) -> tuple[Study, Store, Ledger]:
    """The world's sweep, trained."""
    folder = storage / name
    folder.mkdir(parents=True, exist_ok=True)
    views = folder / "views.parquet"
    if "BANDIT" in text_of(name) and not views.exists():
        bandit(shop, views, "bts_*men.csv" if name == "shop-bts" else "random_*men.csv")
    spec = parse_spec(text_of(name).replace("RETAIL", retail).replace("BANDIT", str(views)))
    store = Store.open(prepare(spec.data, folder / "store"))
    spec = spec.on(store.manifest.n_train)
    planned, ledger = planned_runs(spec, store.manifest), Ledger(str(folder), name="ledger")
    if not ledger.entries():
        ledger.append("plan", **plan_entry(spec, store.manifest, planned))
    for p in planned:
        trained(p, store, ledger)
    return Study.of(ledger), store, ledger


def trained(p: Planned, store: Store, ledger: Ledger) -> RunRecord:
    """The record of a run, trained unless it is in the ledger."""
    known = {r.run_id: r for r in ledger.records()}
    if p.run_id in finished(list(known.values())):
        return known[p.run_id]
    began = time.time()
    outcome = train(p.config, store, PlainHost())
    final = outcome.curve[-1].eval_loss if outcome.status == "done" else None
    measured = p.cost.model_copy(update={"time_s": outcome.time_s})
    record = RunRecord(
        run_id=p.run_id, config=p.config, status=outcome.status, reason=p.reason,
        curve=tuple(outcome.curve), estimated=p.cost, measured=measured, workers=1,
        worse_than={} if final is None else unbeaten(store.manifest.baselines, final),
        started_at=began, finished_at=time.time(),
    )  # fmt: skip
    ledger.record(record)
    return record


def follow(at: Option, study: Study, store: Store, ledger: Ledger, why: str) -> list[float]:
    """Final losses of an option, a seed each."""
    loss, out = study.spec.law_loss, []
    for seed in range(max(2, study.spec.train.seeds)):
        train_config = at.train.model_copy(
            update={"seed": seed, "data_fraction": min(1.0, at.train.data_fraction)}
        )
        model: Any = at.model
        config = RunConfig(data=store.manifest.fingerprint, model=model, train=train_config)
        cost = estimate(at.model, train_config, store.manifest, study.spec.resources)
        record = trained(Planned(config, cost, why), store, ledger)
        assert record.final is not None
        value = record.final.columns()[loss]
        assert value is not None
        out.append(value)
    return out


def followed(name: str, study: Study, store: Store, ledger: Ledger) -> dict[str, Any]:
    """What became of the advice in a world."""
    advice = advise(study, COMPUTE)
    if advice.best is None:
        return {"world": name, "advice": advice.headline()}

    def ran(at: Option, why: str) -> list[float]:
        return follow(at, study, store, ledger, why)

    got = ran(advice.best.option, "advised")
    rival = {why: ran(o, why) for why, o in rivals(study, advice.budget_flop).items()}
    means = {why: fmean(losses) for why, losses in rival.items()}
    best = min(means.values(), default=math.inf)
    spread = math.sqrt(fmean(stdev(x) ** 2 for x in (got, *rival.values())))
    p, g, mean = advice.best, advice.best.gain, fmean(got)
    return {
        "world": name,
        "advice": described(p, advice.swept),
        "flop": p.option.cost.train_flop / advice.budget_flop,
        "got": mean,
        "so_far": advice.best_loss,
        "rivals": means,
        "regret": mean - min(best, mean),
        "noise": spread,
        # means of the seeds of both
        "best": mean - best <= spread * math.sqrt(2 / len(got)) * 1.645,
        "inside": [p.low <= x <= p.high for x in got],
        "band": (p.loss, p.low, p.high),
        "promised": advice.promised,
        "gain": (g.mean, g.low, g.high),
        "gained": advice.best_loss - mean,
        "gain_inside": [g.low <= advice.best_loss - x <= g.high for x in got],
    }


def rivals(study: Study, budget: float) -> dict[str, Option]:
    """Other ways to spend the budget from the best run so far, on the data at hand."""
    run, _ = best_so_far(study)
    base = Option(run.config.model, run.config.train, run.trained)
    axes = [a for a in swept(study.spec) if a not in TRAINING_AXES]
    out = {"more data": _filled(study, base, base.model, budget)}
    alike = None
    for k in range(1, 41):  # by a tenth of a doubling
        times = 2 ** (k / 10)
        grown = _grown(study, base, dict.fromkeys(axes, times))
        wanted = min(1.0, times * base.train.data_fraction)
        at = _filled(study, base, grown, budget, times) if grown else None
        if at and at.train.data_fraction < 0.98 * wanted:
            break
        alike = at or alike
    if alike:
        out["all alike"] = alike
    frame, loss = study.frame(), study.spec.law_loss
    last = {a: s[-1].change for a in axes if (s := measured_steps(study, frame, a, loss))}
    if last:
        axis, one = min(last, key=lambda a: last[a]), None
        for k in range(1, 5):
            grown = _grown(study, base, {axis: 2.0**k})
            at = _filled(study, base, grown, budget) if grown else None
            if at is None or at.train.data_fraction < base.train.data_fraction:
                break
            one = at
        if one:
            out[f"{axis} alone"] = one
    return out


def _grown(study: Study, base: Option, times: dict[str, float]) -> ModelConfig | None:
    """The best run's model with axes grown, each to a multiple of 4 where it is one of more."""
    spec = study.spec.model
    values = {k: v[0] if len(v) == 1 else getattr(base.model, k) for k, v in spec.axes().items()}
    for axis, factor in times.items():
        size = values[axis] or (1 if axis.endswith("depth") else None)
        if size is not None:
            unit = 4 if size >= 4 else 1
            values[axis] = max(unit, unit * round(size * factor / unit))
    if not values.get("sequence_width", 1):
        values["sequence_width"] = max(spec.axes()["sequence_width"])
    model = spec.resolve(values, study.data)
    return None if model == base.model else model


def _filled(
    study: Study, base: Option, model: ModelConfig, budget: float, times: float = math.inf
) -> Option:
    """A model on the data that the budget buys: at most `times` the best run's, and all of it."""
    batch, data = study.spec.train.batch_size, study.data
    assert batch
    epochs = base.train.epochs
    rows = min(data.n_train, times * base.train.data_fraction * data.n_train)
    flop = 3 * model.forward_flop(data).total * batch
    steps = min(math.floor(budget / flop), epochs * (int(rows) // batch))
    return option(study, model, max(epochs, steps - steps % epochs) * batch, epochs)


def line(found: dict[str, Any]) -> str:
    if "got" not in found:
        return f"{found['world']:9} {found['advice']}"
    rival = ", ".join(f"{k} {v:.4f}" for k, v in found["rivals"].items())
    return (
        f"{found['world']:9} {found['advice']} ({found['flop']:.2f} of the budget): got "
        f"{found['got']:.4f} for {found['band'][0]:.4f} [{found['band'][1]:.4f}, "
        f"{found['band'][2]:.4f}], {sum(found['inside'])}/{len(found['inside'])} inside; so far "
        f"{found['so_far']:.4f}; {rival}; regret {found['regret']:.4f} (noise {found['noise']:.4f}"
        f"{', best' if found['best'] else ''}); gain "
        f"{'PROMISED' if found['promised'] else 'not promised'} {found['gain'][0]:+.4f} "
        f"[{found['gain'][1]:+.4f}, {found['gain'][2]:+.4f}], got {found['gained']:+.4f}"
    )


def summary(found: list[dict[str, Any]], words: str) -> str:
    told = [f for f in found if "got" in f]
    if not told:
        return f"{words}: none answered"
    inside = [x for f in told for x in f["inside"]]
    gains = [x for f in told for x in f["gain_inside"]]
    promised = [f for f in told if f["promised"]]
    real = sum(f["gained"] > 0 for f in promised)
    relative = sorted(f["regret"] / f["got"] for f in told)
    return (
        f"{words}: {len(told)} of {len(found)} answered; best or within noise of it "
        f"{sum(f['best'] for f in told)}/{len(told)}; regret median "
        f"{100 * relative[len(relative) // 2]:.2f} %, worst {100 * relative[-1]:.2f} %; losses "
        f"inside {sum(inside)}/{len(inside)}, gains inside {sum(gains)}/{len(gains)}; promised "
        f"gains real {real}/{len(promised)}"
    )


if __name__ == "__main__":
    main()
