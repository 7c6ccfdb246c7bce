"""log q of a draw is the density of the number that is served, near an edge of a box too, as far as float32 holds such
numbers.
"""

import copy
from functools import partial

import pytest
import torch

from lightning_irl.samplers import (
    DefensiveSampler,
    FlowSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    MultiscaleFlow,
)
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.support import BoxSupport

ARITHMETIC = 4e-3  # nats: sums of 784 float32 terms of up to 15 nats

SAMPLERS = {
    "gaussian": partial(GaussianSampler, width=2.0),
    "mixture": partial(GaussianMixtureSampler, components=4, width=1.4),
    "spline": partial(FlowSampler, transforms=2, hidden=[32]),
    "affine": partial(FlowSampler, transform="affine", transforms=2, hidden=[32]),
    "native": partial(FlowSampler, transforms=2, hidden=[32], native=True),
    "multiscale": partial(MultiscaleFlow, steps=[2, 2], hidden=[8, 8], bins=4),
    "defensive": partial(DefensiveSampler, sampler=partial(GaussianSampler, width=2.0)),
}


def wide_draws(name, low, high, num_samples=64):
    torch.manual_seed(0)
    sampler = SAMPLERS[name](make_event("image", [1, 28, 28], support="box", low=low, high=high)).eval()
    if name in ("spline", "affine", "multiscale"):
        sampler.scale.mul_(2.0)  # some pixel of most draws is then within 1e-6 of an edge
    samples, log_q = sampler.sample(num_samples)
    return sampler, samples, log_q


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("name", SAMPLERS)
def test_log_q_of_a_draw_is_its_density_but_for_its_rounding(name, low, high):
    sampler, samples, log_q = wide_draws(name, low, high)
    there = samples.double().requires_grad_()
    exact = copy.deepcopy(sampler).double().log_prob(there)
    (slope,) = torch.autograd.grad(exact.sum(), there)
    spacing = torch.nextafter(samples.abs(), torch.tensor(torch.inf)) - samples.abs() + 1e-7 * (samples - low)
    bound = (slope.abs() * spacing).flatten(1).sum(1) + ARITHMETIC
    with torch.no_grad():
        again = sampler.log_prob(samples)
    assert ((again - exact).abs() <= bound).all()  # the same numbers, scored in either precision
    assert ((log_q - exact).abs() <= bound).all()  # drawn, and scored
    assert bound.median() < 0.1  # so that it says something


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (-2.0, 0.0), (0.1, 0.3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_number_inside_has_its_own_coordinate_and_no_draw_is_on_an_edge(low, high, dtype):
    support = BoxSupport(low, high)
    edges = torch.tensor([low, high], dtype=dtype)
    draws, _ = support.constrain(torch.tensor([[-800.0, -40.0, -20.0, -14.5, 14.5, 20.0, 40.0, 800.0]], dtype=dtype))
    assert ((edges[0] < draws) & (draws < edges[1])).all()
    free, log_det = support.unconstrain(draws)
    exact = (draws.double() - edges[0].double()).log() - (edges[1].double() - draws.double()).log()
    torch.testing.assert_close(free.double(), exact, rtol=1e-6, atol=1e-6)
    assert torch.isfinite(log_det).all()
    assert (free.diff() >= 0).all()


def test_a_sample_on_an_edge_is_moved_inward_as_before():
    free, _ = BoxSupport(0.0, 1.0).unconstrain(torch.tensor([[0.0, 1.0, 0.25]]))
    assert torch.equal(free, torch.logit(torch.tensor([[0.0, 1.0, 0.25]]), eps=1e-6))
