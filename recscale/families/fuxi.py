"""FuXi-alpha (Ye et al. 2025, 2502.03036): its axes and costs."""

from __future__ import annotations

from typing import Any, Literal

from recscale.families.sequence import TIME_BUCKETS, SequenceConfig, SequenceSpec
from recscale.manifest import Manifest
from recscale.values import PartsAxis

Channels = Literal["all", "position", "semantic"]
CHANNELS: dict[Channels, int] = {"all": 3, "position": 2, "semantic": 1}


class FuXiSpec(SequenceSpec):
    """FuXi-alpha (2502.03036): attention in three channels, each with weights of its own over the
    past: semantic (q k^T as in HSTU), time and position between events; then a feed-forward network
    of two stages, the second gated (SwiGLU). Times are those of the events a model has seen, in a
    bucket a doubling; the authors' code has four times as many buckets."""

    family: Literal["fuxi"]
    expansion: PartsAxis = (1,)
    """Hidden width of the second stage, as a multiple of the width; the authors' code has 1."""
    channels: Channels = "all"
    """`position`: without the time channel; `semantic`: with neither."""

    def resolve(self, values: dict[str, Any], data: Manifest) -> FuXiConfig:
        return FuXiConfig(
            family="fuxi",
            expansion=values["expansion"],
            channels=self.channels,
            **self.shape(values),
        )


class FuXiConfig(SequenceConfig):
    family: Literal["fuxi"]
    expansion: int
    channels: Channels

    @property
    def name(self) -> str:
        wide = f"-k{self.expansion}" if self.expansion > 1 else ""
        few = "" if self.channels == "all" else f"-{self.channels}"
        return f"{super().name}{wide}{few}"

    @property
    def n_channels(self) -> int:
        return CHANNELS[self.channels]

    def block_params(self) -> int:
        """12 d^2 for three channels c and expansion k of 1: to Q, K, V and a gate of c d, from the
        channels' c d, and three matrices d x k d."""
        return (2 * self.n_channels + 3 + 3 * self.expansion) * self.sequence_width**2

    def dense_params(self, data: Manifest) -> int:
        d, length = self.sequence_width, self.sequence_length
        # the norms inside have no weights; a bias of the first stage, and the channels' own weights
        relative = [0, length, length + TIME_BUCKETS][self.n_channels - 1]
        block = self.block_params() + d + relative
        return self.sequence_depth * block + length * d + 2 * d

    def attention_macs(self, keys: float) -> float:
        """q k^T, and a mix of v in every channel."""
        return (1 + self.n_channels) * keys * self.sequence_width

    def block_activations(self) -> int:
        c, k, d = self.n_channels, self.expansion, self.sequence_width
        # two norms and what enters them, u v q k before and after SiLU, three copies for attention,
        # the channels, their norm and gated, the second stage's hidden layers
        vectors = 4 + 2 * (c + 3) + 3 + 3 * c + 4 * k
        square = (2 * self.heads + c - 1) * self.sequence_length
        return vectors * d + square
