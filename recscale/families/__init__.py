"""The model families on floor 0: axes, identity and closed-form costs. A family's network stands
in the module of the same name under `recscale.models`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recscale.families.base import Flop, ModelConfig, ModelSpec, Table
from recscale.families.dlrm import DLRMConfig, DLRMSpec

# A new family adds its spec and its config here; pydantic's discriminated unions need two members
AnyModelSpec = Annotated[DLRMSpec, Field()]
AnyModelConfig = Annotated[DLRMConfig, Field()]

__all__ = ["AnyModelConfig", "AnyModelSpec", "Flop", "ModelConfig", "ModelSpec", "Table"]
