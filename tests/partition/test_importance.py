"""Importance sampling."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.partition import importance
from lightning_irl.partition.importance import summarise_importance
from lightning_irl.samplers.broad import BroadSampler


def test_skewed_target(skew_normal):
    known = skew_normal(2)
    estimate = importance(known.cost, known.sampler)
    assert estimate.reliable
    assert estimate.certifies
    assert estimate.reason == ""
    assert estimate.stderr < 0.03
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


def test_box_and_image(beta_pixels):
    known = beta_pixels([1, 2, 2])
    estimate = importance(known.cost, known.sampler)
    # E_q[w^2] / Z^2 = (B(3, 7) / B(2, 4)^2)^4 = 1.587^4
    assert estimate.stderr == pytest.approx(math.sqrt((1.587302**4 - 1) / 4096), rel=0.2)
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


def test_perfect_sampler_has_no_error(gaussian_image):
    known = gaussian_image(1.0)
    estimate = importance(known.cost, known.sampler, num_samples=1000, batch_size=300)
    assert estimate.num_samples == 1000
    assert estimate.ess == pytest.approx(1000, rel=1e-6)
    assert estimate.log_z == pytest.approx(known.log_z, abs=1e-4)  # float32 costs of about 32
    assert estimate.reliable


def test_narrow_sampler_is_unreliable(gaussian_image):
    known = gaussian_image(0.6)
    estimate = importance(known.cost, known.sampler)
    assert not estimate.reliable
    assert "effective sample size" in estimate.reason or "k_hat" in estimate.reason


def test_extreme_costs(skew_normal):
    known = skew_normal(1)
    for shift in (-1e4, 1e4):
        estimate = importance(lambda x, shift=shift: known.cost(x).double() + shift, known.sampler)
        assert abs(estimate.log_z + shift - known.log_z) < 4 * estimate.stderr
        assert estimate.reliable


def test_weights_that_are_not_finite_are_unreliable():
    assert not summarise_importance(torch.tensor([0.0] * 500 + [math.nan])).reliable
    assert not summarise_importance(torch.full((500,), -math.inf)).reliable


def test_sampler_without_a_density_is_refused(skew_normal):
    known = skew_normal(1)
    sampler = BroadSampler(known.event)
    sampler.has_density = False
    with pytest.raises(ValueError, match="BroadSampler has no density"):
        importance(known.cost, sampler)
