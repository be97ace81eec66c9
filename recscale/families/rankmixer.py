"""RankMixer (Zhu et al. 2025, 2507.15551): its axes and costs."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Literal

from recscale.families.base import Flop, Rates
from recscale.families.click import ClickConfig, ClickSpec
from recscale.manifest import Manifest
from recscale.values import CountAxis, PartsAxis


class RankMixerSpec(ClickSpec):
    """RankMixer (2507.15551), its dense form: features in groups of equal size become tokens;
    layers mix the tokens' parts without any parameters and give each token a feed-forward layer of
    its own. Parameters grow as 2 k L T D^2; the paper scales the width D first. Features stand in
    the groups in the order of the data's columns, where the paper groups by meaning."""

    schemes: ClassVar[dict[str, tuple[str, ...]]] = {
        "rows": ("embedding_rows",),
        "dim": ("embedding_dim",),
        "width": ("token_width",),
        "layers": ("layers",),
        "combined": ("embedding_rows", "embedding_dim", "token_width"),
    }
    family: Literal["rankmixer"]
    token_width: CountAxis = (32,)
    """Width D of a token; a multiple of `tokens`."""
    tokens: PartsAxis = (4,)
    """Tokens T, and as many heads whose parts are mixed."""
    layers: PartsAxis = (2,)
    """Layers L of mixing and feed-forward."""
    expansion: CountAxis = (4,)
    """Hidden width of each token's feed-forward layer, as a multiple k of its width."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> RankMixerConfig:
        width, asked = values["token_width"], values["tokens"]
        config = RankMixerConfig(
            family="rankmixer",
            **self.inputs(values, data),
            token_width=width,
            tokens=1,
            layers=values["layers"],
            expansion=values["expansion"],
        )
        # the most that divide both, with a number of the features for each
        most = min(math.gcd(asked, width), config.entering(data))
        tokens = next(n for n in range(most, 0, -1) if asked % n == 0 == width % n)
        return config.model_copy(update={"tokens": tokens})

    def complaints(self, data: Manifest) -> list[str]:
        out = super().complaints(data)
        for tokens, width in itertools.product(self.tokens, self.token_width):
            if width % tokens:
                out.append(
                    f"model.token_width: {width} is no multiple of {tokens} tokens, whose parts "
                    "are mixed; take multiples of every value of tokens"
                )
        smallest = {
            **{axis: values[0] for axis, values in self.axes().items()},
            "embedding_dim": min(self.embedding_dim),
            "multi_embedding": max(self.multi_embedding),
        }
        numbers = self.resolve(smallest, data).entering(data)
        if max(self.tokens) > numbers:
            out.append(
                f"model.tokens: {max(self.tokens)} tokens of the {numbers:,} numbers that the "
                "features of a set have; take fewer, or a larger embedding_dim"
            )
        return out


class RankMixerConfig(ClickConfig):
    # dense 3e-3 costs 0.002 to 0.005 NE on the three logs of the choice, and 0.001 and 0.002 on two
    # others (tests/benchmarks/defaults.py, 2026-11-30)
    rates = Rates(dense=1e-3, sparse=1e-1)
    family: Literal["rankmixer"]
    token_width: int
    tokens: int
    layers: int
    expansion: int

    @property
    def name(self) -> str:
        sizes = f"-l{self.layers}-t{self.tokens}-w{self.token_width}-k{self.expansion}"
        return f"{self.input_name()}{sizes}{self.end_name()}"

    def entering(self, data: Manifest) -> int:
        """Numbers of a set's features, which the tokens share out."""
        return self.fields(data) * self.set_dim

    def slice_width(self, data: Manifest) -> int:
        """Numbers that a token is made of; some have one fewer, and a zero in its place."""
        return math.ceil(self.entering(data) / self.tokens)

    def macs(self, data: Manifest) -> int:
        """Multiply-adds of a set's layers, which are also their weights."""
        enter = self.slice_width(data) * self.token_width
        forward = 2 * self.expansion * self.token_width**2
        return self.tokens * (enter + self.layers * forward)

    def last_width(self, data: Manifest) -> int:
        return self.multi_embedding * self.token_width

    def trunk_params(self, data: Manifest) -> int:
        d, t = self.token_width, self.tokens
        biases = t * (d + self.layers * (self.expansion * d + d))
        norms = self.layers * 4 * d  # of both sub-layers
        sets = self.multi_embedding * (self.macs(data) + biases + norms)
        out = self.multi_embedding * d + 1
        return sets + out + self.field_params(data) + self.history_params()

    def trunk_flop(self, data: Manifest) -> Flop:
        """Mixing moves numbers and costs nothing."""
        linear, attention = self.history_macs()
        linear += self.multi_embedding * (self.macs(data) + self.token_width)
        return Flop(body=2 * linear, attention=2 * attention, interaction=0, head=0)

    def trunk_activations(self, data: Manifest) -> int:
        # mixed, two sums, two norms, and the hidden layer before and after GeLU
        layer = self.tokens * self.token_width * (5 + 2 * self.expansion)
        enter = self.tokens * (self.slice_width(data) + self.token_width)
        sets = self.multi_embedding * (enter + self.layers * layer)
        fields = self.fields(data) * self.embedding_dim
        return 2 * (sets + fields + self.input_activations(data))
