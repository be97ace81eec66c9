"""What to train next, and what each axis of a sweep is worth."""

from recscale.advice.advise import Advice, advise

__all__ = ["Advice", "advise"]
