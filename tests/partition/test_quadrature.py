"""Quadrature."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.partition import quadrature
from lightning_irl.spaces.event import make_event

LOG_2PI = math.log(2 * math.pi)


@pytest.mark.parametrize("dimension", [1, 2])
def test_skewed_targets(dimension, skew_normal, log_gamma):
    for known in (skew_normal(dimension), log_gamma(dimension)):
        estimate = quadrature(known.cost, known.event)
        assert estimate.reliable
        assert abs(estimate.log_z - known.log_z) < 2e-4  # twice the tolerance that ends enlargement and refinement
        assert estimate.stderr < 2e-4


@pytest.mark.parametrize("shape", [[1, 1, 1], [1, 1, 2]])
def test_box(shape, beta_pixels):
    known = beta_pixels(shape)
    assert abs(quadrature(known.cost, known.event).log_z - known.log_z) < 2e-4


def test_discrete_levels_are_summed_over():
    """Independent pixels: log Z is the sum of each one's log of a sum; and a number of states that is too many."""
    event = make_event("image", [1, 2, 3], support="box", base_measure="counting", levels=4)
    weights = torch.arange(6.0).view(1, 2, 3)
    estimate = quadrature(lambda x: (x * weights).flatten(1).sum(1), event, batch_size=1000)
    middles = (torch.arange(4).double() + 0.5) / 4
    expected = torch.logsumexp(-weights.double().view(6, 1) * middles, 1).sum().item()
    assert estimate.log_z == pytest.approx(expected, abs=1e-5)
    assert estimate.reliable
    assert estimate.num_samples == 4**6
    assert "all 4096 states" in estimate.reason
    event = make_event("point", [11], support="box", base_measure="counting", levels=4)
    with pytest.raises(ValueError, match=r"at most 1048576 states and the event has 4\^11; use importance"):
        quadrature(lambda x: x.sum(1), event)


def test_enlarges_until_nothing_changes():
    event = make_event("point", [1], location=[-3.0])
    estimate = quadrature(lambda x: ((x - 30) / 5).square().sum(-1) / 2, event)
    assert estimate.reliable
    assert abs(estimate.log_z - math.log(5) - LOG_2PI / 2) < 2e-4


def test_a_cost_that_is_not_integrable_is_unreliable():
    estimate = quadrature(lambda x: torch.log1p(x.abs()).sum(-1), make_event("point", [1]))
    assert not estimate.reliable
    assert "not be integrable" in estimate.reason


def test_given_edges_are_kept():
    event = make_event("point", [2])
    estimate = quadrature(lambda x: torch.zeros(len(x)), event, low=-1.0, high=2.0)
    assert estimate.log_z == pytest.approx(2 * math.log(3), abs=1e-9)


def test_refused():
    with pytest.raises(ValueError, match="1 or 2 coordinates and the event has 3"):
        quadrature(lambda x: x.sum(-1), make_event("point", [3]))
    with pytest.raises(ValueError, match="both low and high"):
        quadrature(lambda x: x.sum(-1), make_event("point", [1]), low=0.0)
