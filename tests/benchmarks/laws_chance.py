"""How often a law is called what it is not: noise `converged`, a planted law `uninformative`.

    python tests/benchmarks/laws_chance.py [--tables 100] [--rows 6,12,40] [--half 0]

Noise: losses that depend on no variable, sd .2, 2 or 10 % in turn. Planted: 1.8 + N and D terms
of published size, sd .2 or 1 % in turn, on the same designs; outliers: the same with one run in
ten tripled. Public tables: every set-up and loss in the folder RECSCALE_TABLES, by status. With
--half 1 the tables (and set-ups) of odd number, on which no level was chosen.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
from laws_extrapolate import TABLES, tables

from recscale.laws import LawError, fit

LAWS = (("power", ["D"]), ("additive", ["N", "D"]), ("saturating", ["N", "D"]), ("auto", ["D"]))


def design(rng: np.random.Generator, n: int, scattered: bool) -> dict[str, np.ndarray]:
    """N and D over three decades, scattered or on a grid of four values each."""
    if scattered:
        return {v: 10 ** rng.uniform(5, 8, n) for v in "ND"}
    return {v: rng.choice(np.geomspace(1e5, 1e8, 4), n) for v in "ND"}


def losses(kind: str, rng: np.random.Generator, x: dict[str, np.ndarray], form: str, i: int):
    n = len(x["N"])
    if kind == "noise":
        return 2 * np.exp((0.002, 0.02, 0.1)[i % 3] * rng.standard_normal(n))
    falls = 40 / x["N"] ** 0.34 + 80 / x["D"] ** 0.28 if form != "power" else 80 / x["D"] ** 0.28
    y = (3 - 0.5 * falls if form == "saturating" else 1.8 + falls) * np.exp(
        (0.002, 0.01)[i % 2] * rng.standard_normal(n)
    )
    if kind == "outliers":
        y[rng.permutation(n)[: n // 10]] *= 3
    return y


def simulated(kind: str, n: int, count: int, half: int) -> None:
    for form, variables in LAWS:
        if kind != "noise" and form == "auto" or n <= 2 * len(variables) + 1:
            continue
        found: Counter[str] = Counter()
        for i in range(count):
            rng = np.random.default_rng([half, i, n, len(form)])
            x = design(rng, n, bool(i // 2 % 2))
            frame = pd.DataFrame({**x, "loss": losses(kind, rng, x, form, i)})
            found[fit(frame, form, variables).status] += 1
        told = ", ".join(f"{k} {v}" for k, v in sorted(found.items()))
        print(f"{kind:9} {n:3} rows  {form:10} {told}", flush=True)


def public() -> Iterator[tuple[str, pd.DataFrame, str, list[str], str]]:
    """name, frame, form, variables, loss."""
    for name, frame in tables():
        yield name, frame, "additive", ["N", "D"], "loss"
    d = pd.read_csv(TABLES / "gadre_overtraining.csv")
    for name, frame in d.groupby("train_set"):
        for loss in [c for c in d if c.startswith("loss")]:
            yield f"gadre {name} {loss}", frame, "additive", ["N", "D"], loss
            usual = frame.loc[frame["multiplier"] == frame["multiplier"].mode()[0]]
            yield f"gadre {name} {loss}, one multiplier", usual, "power", ["N"], loss
    d = pd.read_csv(TABLES / "routing.csv")
    for name, frame in d.groupby(["router_type", "num_experts"]):
        yield f"routing {name}", frame, "power", ["dense_parameter_count"], "loss_validation"
    d = pd.read_csv(TABLES / "scalebench_data_constrained.csv")
    yield "data constrained", d, "additive", ["params", "tokens", "unique_tokens"], "loss"
    for name, frame in pd.read_csv(TABLES / "scalebench_sparsity.csv").groupby("group"):
        yield f"sparsity {name}", frame, "additive", ["P", "N_active"], "loss"
    for name, frame in pd.read_csv(TABLES / "srt_recsys_runs.csv").groupby("dataset"):
        size = ["model_non_emb_params"]
        for loss in ("valid_eval_loss", "valid_eval_loss_best", "train_train_loss"):
            yield f"srt {name} {loss}", frame, "power", size, loss
        yield f"srt {name} ndcg", frame, "saturating", size, "valid_ndcg_at_5_best"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--rows", default="6,12,40")
    parser.add_argument("--half", type=int, default=0)
    args = parser.parse_args()
    for kind in ("noise", "planted", "outliers"):
        for n in map(int, args.rows.split(",")):
            if kind != "outliers" or n >= 10:
                simulated(kind, n, args.tables, args.half)
    found: Counter[str] = Counter()
    for i, (name, frame, form, variables, loss) in enumerate(public()):
        if i % 2 != args.half:
            continue
        try:
            law = fit(frame, form, variables, loss)
        except LawError as error:
            print(f"{name}: {error}")
            continue
        found[law.status] += 1
        if law.status == "uninformative":
            print(f"{name}: {law.reason}")
    print("public:", ", ".join(f"{k} {v}" for k, v in sorted(found.items())))


if __name__ == "__main__":
    main()
