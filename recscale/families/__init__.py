"""The model families on floor 0: axes, identity and closed-form costs. A family's network stands
in the module of the same name under `recscale.models`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recscale.families.base import Flop, ModelConfig, ModelSpec, Rates, Table
from recscale.families.dcnv2 import DCNv2Config, DCNv2Spec
from recscale.families.decoder import DecoderConfig, DecoderSpec
from recscale.families.dlrm import DLRMConfig, DLRMSpec
from recscale.families.hstu import HSTUConfig, HSTUSpec
from recscale.families.wukong import WukongConfig, WukongSpec

# A new family adds its spec and its config here
AnyModelSpec = Annotated[
    DLRMSpec | DCNv2Spec | WukongSpec | DecoderSpec | HSTUSpec,
    Field(discriminator="family"),
]
AnyModelConfig = Annotated[
    DLRMConfig | DCNv2Config | WukongConfig | DecoderConfig | HSTUConfig,
    Field(discriminator="family"),
]

__all__ = ["AnyModelConfig", "AnyModelSpec", "Flop", "ModelConfig", "ModelSpec", "Rates", "Table"]
