"""Masks of dropout: random, and each sample's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from recscale.models.dropout import Dropout, keys, number


def layer(rate: float, site: int = 0) -> Dropout:
    made = Dropout(rate)
    made.site = site
    return made


def drawn(rate: float, d: int = 50, site: int = 0, step: int = 0, seed: int = 0, n: int = 2000):
    key = torch.from_numpy(keys(seed, step, np.arange(n)))
    return layer(rate, site)(torch.ones(n, d), key)


def test_the_share_and_the_mean_are_as_asked():
    for rate in (0.05, 0.3, 0.9):
        x = drawn(rate)
        share = (x == 0).double().mean().item()
        assert abs(share - rate) < 4 * (rate * (1 - rate) / x.numel()) ** 0.5
        assert abs(x.mean().item() - 1) < 0.05


def test_masks_of_sites_steps_seeds_samples_and_features_are_independent():
    base = (drawn(0.5) == 0).double()
    others = [drawn(0.5, site=1), drawn(0.5, step=1), drawn(0.5, seed=1)]
    pairs = [(base, (other == 0).double()) for other in others]
    pairs += [(base[1:], base[:-1]), (base[:, 1:], base[:, :-1]), (base[:, 4:], base[:, :-4])]
    for a, b in pairs:
        correlation = ((a - 0.5) * (b - 0.5)).mean().item() * 4
        assert abs(correlation) < 5 / a.numel() ** 0.5
    assert base.std(0).min() > 0.45 and base.std(1).min() > 0.3


def test_a_sample_keeps_its_mask_in_any_company():
    event, x = np.arange(40), torch.randn(40, 7)
    key, some = torch.from_numpy(keys(3, 9, event)), torch.tensor([31, 2, 2, 17])
    made = layer(0.4)
    assert torch.equal(made(x, key)[some], made(x[some], torch.from_numpy(keys(3, 9, event[some]))))


def test_nothing_is_dropped_outside_training_nor_at_rate_zero():
    x = torch.randn(5, 3)
    assert torch.equal(layer(0.5).eval()(x, None), x) and torch.equal(layer(0.0)(x, None), x)
    key = torch.from_numpy(keys(0, 0, np.arange(5)))
    assert not layer(0.999_999)(x, key).any()


def test_the_layers_of_a_model_are_told_apart():
    model = nn.Sequential(Dropout(0.1), nn.ModuleList([Dropout(0.1), Dropout(0.1)]))
    number(model)
    assert [m.site for m in model.modules() if isinstance(m, Dropout)] == [0, 1, 2]
