"""recscale measures scaling laws of recommendation models and plans where compute should go.

from recscale import Ledger
frame = Ledger("runs/demo").frame()
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recscale.laws import fit as fit
    from recscale.ledger import Ledger as Ledger

__all__ = ["Ledger", "fit"]


def __getattr__(name: str) -> object:
    """Loads pandas and scipy only when they are asked for."""
    if name == "Ledger":
        from recscale.ledger import Ledger

        return Ledger
    if name == "fit":
        from recscale.laws import fit

        return fit
    raise AttributeError(f"module 'recscale' has no attribute {name!r}")
