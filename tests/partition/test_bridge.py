"""Bridge sampling."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.partition import bridge, draw_model
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import make_event


def _exact(*shape: int) -> torch.Tensor:
    return torch.distributions.Gamma(2.0, 1.0).sample(shape).log()


def test_skewed_target_with_exact_draws(log_gamma):
    known = log_gamma(4)
    estimate = bridge(known.cost, known.sampler, _exact(2048, 4))
    assert estimate.reliable
    assert estimate.certifies
    assert estimate.stderr < 0.03
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


def test_standard_error_is_the_spread_of_estimates(log_gamma):
    # The spread of 60 estimates has a relative error of 1 / sqrt(118) = 0.09.
    known = log_gamma(2)
    results = [bridge(known.cost, known.sampler, _exact(500, 2), num_samples=500) for _ in range(60)]
    spread = float(torch.tensor([result.log_z for result in results]).std())
    claimed = sum(result.stderr for result in results) / 60
    assert claimed == pytest.approx(spread, rel=4 * 0.09)


def test_overlap_is_enough_where_importance_fails():
    # A sampler half as wide as the model: importance weights have no variance, the bridge needs none.
    event = make_event("point", [1])
    estimate = bridge(lambda x: x.square().sum(-1) / 2, BroadSampler(event, width=0.5), torch.randn(4096, 1))
    assert estimate.reliable
    assert abs(estimate.log_z - 0.5 * math.log(2 * math.pi)) < 4 * estimate.stderr


def test_correlated_chains_cost_precision(log_gamma):
    # Every draw repeated ten times is worth a tenth: the error must be that of the distinct draws, not sqrt(10)
    # smaller.
    known = log_gamma(2)
    distinct = _exact(200, 2)
    repeated = distinct[:, None].expand(200, 10, 2)
    once = bridge(known.cost, known.sampler, distinct, num_samples=20_000)
    often = bridge(known.cost, known.sampler, repeated, num_samples=20_000)
    assert often.stderr == pytest.approx(once.stderr, rel=0.05)


def test_chains_that_disagree_are_unreliable():
    event = make_event("point", [1])
    offsets = torch.tensor([-2.0, 2.0, -1.0, 1.0])[:, None, None]
    stuck = 0.3 * torch.randn(4, 200, 1) + offsets
    estimate = bridge(lambda x: x.square().sum(-1) / 2, BroadSampler(event, 1.5), stuck)
    assert not estimate.reliable
    assert "R-hat" in estimate.reason or "effective draws" in estimate.reason


def test_makes_its_own_draws(log_gamma):
    known = log_gamma(8)
    estimate = bridge(known.cost, known.sampler)
    assert estimate.reliable
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


def test_weighted_draws_from_a_broad_start_know_a_mode_that_the_sampler_misses(missed_mode):
    known = missed_mode(2)
    draws = draw_model(known.cost, BroadSampler(known.event, width=4.0), num_temperatures=100)
    estimate = bridge(known.cost, known.sampler, draws)
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr  # and importance would be low by log 2 = 0.69
    assert estimate.stderr < 0.15


def test_no_overlap_is_unreliable():
    event = make_event("point", [8])
    estimate = bridge(lambda x: (x - 12).square().sum(-1) / 2, BroadSampler(event, 1.0), 12 + torch.randn(2000, 8))
    assert not estimate.reliable


def test_extreme_log_ratios():
    event = make_event("point", [1])
    model = torch.randn(2000, 1, dtype=torch.float64)
    for shift in (-1e4, 1e4):
        estimate = bridge(
            lambda x, shift=shift: x.double().square().sum(-1) / 2 + shift, BroadSampler(event, 1.5), model
        )
        assert abs(estimate.log_z + shift - 0.5 * math.log(2 * math.pi)) < 4 * estimate.stderr


def test_shapes_are_checked(log_gamma):
    known = log_gamma(2)
    with pytest.raises(ValueError, match="model samples have shape"):
        bridge(known.cost, known.sampler, torch.randn(10, 3))
