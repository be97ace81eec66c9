"""The model families on floor 0: axes, identity and closed-form costs, in one registry.
A built-in family's network stands in the module of the same name under `recscale.models`; a user's
own is found by its dotted path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union

from pydantic import Discriminator, Tag

from recscale.families.adrec import AdRecConfig, AdRecSpec
from recscale.families.autoint import AutoIntConfig, AutoIntSpec
from recscale.families.base import Flop, ModelConfig, ModelSpec, Rates, Table
from recscale.families.climber import ClimberConfig, ClimberSpec
from recscale.families.dcnv2 import DCNv2Config, DCNv2Spec
from recscale.families.decoder import DecoderConfig, DecoderSpec
from recscale.families.deepfm import DeepFMConfig, DeepFMSpec
from recscale.families.dlrm import DLRMConfig, DLRMSpec
from recscale.families.door import FamilyError, is_path
from recscale.families.fuxi import FuXiConfig, FuXiSpec
from recscale.families.hstu import HSTUConfig, HSTUSpec
from recscale.families.own import OwnConfig, OwnSpec, keys_of
from recscale.families.rankmixer import RankMixerConfig, RankMixerSpec
from recscale.families.trainer import TrainerConfig, TrainerSpec
from recscale.families.two_tower import TwoTowerConfig, TwoTowerSpec
from recscale.families.wukong import WukongConfig, WukongSpec


class Family(NamedTuple):
    """One entry of the registry."""

    spec: type[ModelSpec]
    """Its axes, as a sweep file has them."""
    config: type[ModelConfig]
    """One architecture, with its costs."""
    network: str
    """Dotted path of what builds it: called with config, manifest and device."""


FAMILIES = {
    "dlrm": Family(DLRMSpec, DLRMConfig, "recscale.models.dlrm:DLRM"),
    "dcnv2": Family(DCNv2Spec, DCNv2Config, "recscale.models.dcnv2:DCNv2"),
    "wukong": Family(WukongSpec, WukongConfig, "recscale.models.wukong:Wukong"),
    "deepfm": Family(DeepFMSpec, DeepFMConfig, "recscale.models.deepfm:DeepFM"),
    "autoint": Family(AutoIntSpec, AutoIntConfig, "recscale.models.autoint:AutoInt"),
    "rankmixer": Family(RankMixerSpec, RankMixerConfig, "recscale.models.rankmixer:RankMixer"),
    "adrec": Family(AdRecSpec, AdRecConfig, "recscale.models.adrec:AdRec"),
    "decoder": Family(DecoderSpec, DecoderConfig, "recscale.models.decoder:decoder"),
    "hstu": Family(HSTUSpec, HSTUConfig, "recscale.models.hstu:hstu"),
    "fuxi": Family(FuXiSpec, FuXiConfig, "recscale.models.fuxi:fuxi"),
    "climber": Family(ClimberSpec, ClimberConfig, "recscale.models.climber:climber"),
    "two_tower": Family(TwoTowerSpec, TwoTowerConfig, "recscale.models.two_tower:TwoTower"),
}
"""Name -> family. A new family is entered here, and nowhere else."""
OWN = Family(OwnSpec, OwnConfig, "recscale.models.own:network")
"""Of every family that a sweep names by a dotted path."""
TRAINER = Family(TrainerSpec, TrainerConfig, "")
"""Of every trainer of one's own, which builds its network itself."""


def family_of(name: str) -> Family:
    """The entry of a family as a sweep names it. Raises KeyError."""
    return OWN if is_path(name) else FAMILIES[name]


def _kind(value: Any) -> str | None:
    name, task = (
        value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        for key in ("family", "task")
    )
    if task == "trainer":
        return "trainer"
    return "own" if isinstance(name, str) and is_path(name) else name


def _any(part: str) -> Any:
    """One of the families, told by the key `family`."""
    each = [Annotated[getattr(f, part), Tag(name)] for name, f in FAMILIES.items()]
    each.append(Annotated[getattr(OWN, part), Tag("own")])
    each.append(Annotated[getattr(TRAINER, part), Tag("trainer")])
    return Annotated[Union[tuple(each)], Discriminator(_kind)]  # noqa: UP007


if TYPE_CHECKING:
    AnyModelSpec = ModelSpec
    AnyModelConfig = ModelConfig
else:
    AnyModelSpec = _any("spec")
    AnyModelConfig = _any("config")

__all__ = [
    "FAMILIES", "AnyModelConfig", "AnyModelSpec", "Family", "FamilyError", "Flop", "ModelConfig",
    "ModelSpec", "Rates", "Table", "TrainerConfig", "TrainerSpec", "family_of", "is_path",
    "keys_of",
]  # fmt: skip
