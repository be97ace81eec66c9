"""recscale measures scaling laws of recommendation models and plans where compute should go.

import recscale
runs = recscale.load("mine.yaml").run()     # or recscale.open("runs/mine")
frame, law = runs.frame(), runs.law()
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from recscale.laws import fit as fit
    from recscale.ledger import Ledger as Ledger
    from recscale.models.own import Embeddings as Embeddings
    from recscale.models.own import Family as Family
    from recscale.models.own import ItemEmbeddings as ItemEmbeddings
    from recscale.notebook import figures as figures
    from recscale.notebook import load as load
    from recscale.notebook import open_runs as open

__all__ = [
    "Embeddings",
    "Family",
    "ItemEmbeddings",
    "Ledger",
    "__version__",
    "figures",
    "fit",
    "load",
    "open",
]


def __getattr__(name: str) -> object:
    """Loads pandas, scipy and torch only when they are asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("recscale")
    if name == "Ledger":
        from recscale.ledger import Ledger

        return Ledger
    if name == "fit":
        from recscale.laws import fit

        return fit
    if name in ("figures", "load", "open"):
        from recscale import notebook

        return getattr(notebook, "open_runs" if name == "open" else name)
    if name in ("Embeddings", "Family", "ItemEmbeddings"):
        from recscale.models import own

        return getattr(own, name)
    raise AttributeError(f"module 'recscale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
