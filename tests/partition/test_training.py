"""Training quantities: right where model and data agree, and never claiming more."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.partition import discriminator, mixture
from lightning_irl.partition.training import REASON
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import make_event

LOG_Z = 0.5 * math.log(2 * math.pi)


def _ends(model_scale: float = 1.0, count: int = 4000):
    """Costs of a Gaussian model of the given width, data N(0, 1), sampler N(0, 1.5^2), all 1-D."""
    sampler = BroadSampler(make_event("point", [1]), width=1.5)
    demo = torch.randn(count, 1)
    sample, sample_log_q = sampler.sample(count)
    return (
        demo.square().sum(-1) / (2 * model_scale**2),
        sampler.log_prob(demo),
        sample.square().sum(-1) / (2 * model_scale**2),
        sample_log_q,
    )


def _mixture(demo_cost, demo_log_q, sample_cost, sample_log_q, log_z):
    def log_mu(cost, log_q):
        return torch.logaddexp(-cost - log_z, log_q) - math.log(2)

    return mixture(demo_cost, sample_cost, log_mu(demo_cost, demo_log_q), log_mu(sample_cost, sample_log_q))


def test_agree_with_log_z_when_demonstrations_are_draws_of_the_model():
    ends = _ends()
    for estimate in (discriminator(*ends), _mixture(*ends, LOG_Z)):
        assert abs(estimate.log_z - LOG_Z) < 4 * estimate.stderr
        assert not estimate.certifies
        assert not estimate.reliable
        assert estimate.reason == REASON


def test_discriminator_standard_error_is_the_spread_of_estimates():
    results = [discriminator(*_ends(count=500)) for _ in range(60)]
    spread = float(torch.tensor([result.log_z for result in results]).std())
    assert sum(result.stderr for result in results) / 60 == pytest.approx(spread, rel=4 * 0.09)


def test_mixture_standard_error_is_the_spread_of_estimates():
    results = [_mixture(*_ends(count=500), LOG_Z) for _ in range(60)]
    spread = float(torch.tensor([result.log_z for result in results]).std())
    assert sum(result.stderr for result in results) / 60 == pytest.approx(spread, rel=4 * 0.09)


def test_off_while_model_and_data_differ_with_a_perfect_effective_sample_size():
    estimate = discriminator(*_ends(model_scale=0.6, count=20_000))
    assert abs(estimate.log_z - LOG_Z - math.log(0.6)) > 5 * estimate.stderr
    assert estimate.ess > 5000
    assert not estimate.reliable


def test_extreme_logits_stay_finite():
    demo_cost, demo_log_q, sample_cost, sample_log_q = _ends(count=100)
    estimate = discriminator(demo_cost + 1e4, demo_log_q, sample_cost + 1e4, sample_log_q)
    assert estimate.log_z + 1e4 == pytest.approx(LOG_Z, abs=0.5)
    assert math.isfinite(estimate.stderr)
    saturated = discriminator(demo_cost, demo_log_q - 5e3, sample_cost, sample_log_q + 5e3)
    assert math.isfinite(saturated.log_z)
