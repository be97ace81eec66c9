"""A training of the user's own, run and heard of. Nothing here knows Ray, torch or the ledger."""

from recscale.trainers.call import call
from recscale.trainers.heard import Heard, RanAway, TrainerError, TrainerFailed, verdict

__all__ = ["Heard", "RanAway", "TrainerError", "TrainerFailed", "call", "verdict"]
