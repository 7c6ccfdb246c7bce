"""Draws of the model by resampling, by chains, and by both."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.costs import MLPCost, TiltedCost
from lightning_irl.costs.energy import Energy
from lightning_irl.mcmc import MALA, sample_model
from lightning_irl.samplers import BroadSampler, GaussianSampler
from lightning_irl.spaces.event import make_event

EVENT = make_event("image", [1, 2, 2])


def log_gamma_cost(samples):
    return (samples.exp() - 2 * samples).flatten(1).sum(-1)


@pytest.mark.parametrize("sampler", [BroadSampler, GaussianSampler])
@pytest.mark.parametrize(("pool", "moves", "kernel"), [(60_000, 0, None), (0, 60, None), (60_000, 20, MALA(0.1))])
def test_moments_are_the_models(sampler, pool, moves, kernel):
    # log x of x ~ gamma(2) in every pixel: mean digamma(2), variance trigamma(2). Errors: of 1000 draws of 4 pixels,
    # and of a pool
    # whose effective size is a hundred or more times smaller.
    drawn = sample_model(log_gamma_cost, sampler(EVENT), 1000, pool, moves, kernel)
    mean, variance = (float(torch.special.polygamma(order, torch.tensor(2.0))) for order in (0, 1))
    effective = 1000 if math.isnan(drawn.ess) else 1 / (1 / 1000 + 1 / (drawn.ess * pool))
    error = math.sqrt(variance / (4 * effective))
    values = drawn.samples.double()
    assert abs(float(values.mean()) - mean) < 4 * error
    assert abs(float(values.var()) - variance) < 4 * error * math.sqrt(5)  # fourth moment of a skewed variable
    assert drawn.path.shape == (1000, moves + 1, 1, 2, 2)
    assert torch.equal(drawn.path[:, -1], drawn.samples)


def test_origin_says_how():
    drawn = sample_model(log_gamma_cost, GaussianSampler(EVENT), 10, pool=1000, moves=4)
    assert drawn.origin.startswith("q resampled, ESS ")
    assert "; 4 moves, acceptance " in drawn.origin


def test_neither_is_refused():
    with pytest.raises(ValueError, match="pool is 0 and moves 0"):
        sample_model(log_gamma_cost, BroadSampler(EVENT), 10, pool=0)


def test_chains_are_at_their_temperature():
    # exp(-c/T) is log x of x ~ gamma(2/T) of rate 1/T: chains, whose start is broad, find its moments, in base
    # coordinates too.
    temperature = 0.5
    shape = torch.tensor(2 / temperature)
    mean, variance = (float(torch.special.polygamma(order, shape)) for order in (0, 1))
    mean += math.log(temperature)
    error = math.sqrt(variance / 4000)
    for sampler in (BroadSampler(EVENT), GaussianSampler(EVENT)):
        drawn = sample_model(log_gamma_cost, sampler, 1000, pool=0, moves=60, temperature=temperature)
        values = drawn.samples.double()
        assert abs(float(values.mean()) - mean) < 4 * error
        assert abs(float(values.var()) - variance) < 4 * error * math.sqrt(5)
        assert "; 60 moves at temperature 0.5, acceptance " in drawn.origin


@pytest.mark.parametrize("temperature", [0, -1, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature is {temperature}"):
        sample_model(log_gamma_cost, BroadSampler(EVENT), 10, moves=2, temperature=temperature)


def test_a_temperature_without_moves_is_refused():
    with pytest.raises(ValueError, match="no moves to be made at it"):
        sample_model(log_gamma_cost, BroadSampler(EVENT), 10, temperature=0.8)


def test_a_cost_relative_to_the_sampler_scores_no_draw_again(monkeypatch):
    cost = TiltedCost(EVENT, MLPCost)
    cost.start_from(GaussianSampler(EVENT))
    calls, energy = [], Energy(cost, 1.0)
    torch.manual_seed(0)
    expected = sample_model(lambda samples: energy(samples), cost.reference, 50, pool=500)  # one that knows no sampler
    log_prob = type(cost.reference).log_prob
    monkeypatch.setattr(type(cost.reference), "log_prob", lambda *given: calls.append(1) or log_prob(*given))
    torch.manual_seed(0)
    drawn = sample_model(energy, cost.reference, 50, pool=500)
    assert not calls
    assert drawn.ess == pytest.approx(expected.ess, rel=1e-5)
    torch.testing.assert_close(drawn.samples, expected.samples)
