"""One energy for chains, estimators, regularisers and views: no wrapper hides what the cost knows."""

from __future__ import annotations

import importlib

import pytest
import torch

from lightning_irl.costs import Energy, MLPCost, TiltedCost, as_energy
from lightning_irl.mcmc import SampleTarget, sample_model
from lightning_irl.mcmc.resampling import resample
from lightning_irl.partition import annealed, importance
from lightning_irl.regularisers import EnergyMagnitude
from lightning_irl.samplers import GaussianSampler
from lightning_irl.spaces.event import make_event

EVENT = make_event("point", [2])
SCORERS = {
    "importance": lambda energy, q: importance(energy, q, num_samples=50),
    "resample": lambda energy, q: resample(energy, q, 10, pool=50),
    "annealed": lambda energy, q: annealed(energy, q, num_chains=8, num_temperatures=3),
    "chains": lambda energy, q: sample_model(energy, q, 10, pool=50, moves=3),
    "chains at a temperature": lambda energy, q: sample_model(energy, q, 10, pool=50, moves=3, temperature=0.5),
    "a further temperature": lambda energy, q: importance(energy.at(0.5), q, num_samples=50),
}


@pytest.fixture
def tilted():
    cost = TiltedCost(EVENT, lambda event: MLPCost(event, hidden=[4]))
    cost.start_from(GaussianSampler(EVENT))
    return cost


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("wrap", [lambda cost: cost, Energy, lambda cost: Energy(cost, 2.0)], ids=["cost", "1", "2"])
def test_a_cost_relative_to_its_sampler_scores_no_draw_again(tilted, scorer, wrap, monkeypatch):
    def log_prob(*given):
        raise AssertionError("scored again")

    monkeypatch.setattr(type(tilted.reference), "log_prob", log_prob)
    SCORERS[scorer](as_energy(wrap(tilted)), tilted.reference)


def test_a_temperature_divides_and_keeps_what_the_cost_knows(tilted):
    samples, log_q = tilted.reference.sample(5)
    energy = Energy(tilted, 2.0)
    assert energy.at(1.0) is energy
    colder = energy.at(0.3)
    assert colder.reference is tilted.reference
    assert torch.equal(colder(samples), tilted(samples) / 2.0 / 0.3)
    assert torch.equal(colder.learned(samples), tilted.tilt(samples) / 2.0 / 0.3)
    assert torch.equal(colder.relative(samples, tilted.reference, log_q), (tilted.tilted(samples) - log_q) / 2.0 / 0.3)
    assert {id(one) for one in tilted.tilt.parameters()} <= {id(one) for one in colder.tensors()}


def test_a_plain_function_is_an_energy_that_is_relative_to_nothing():
    energy = as_energy(lambda x: x.square().sum(-1))
    samples, log_q = torch.randn(7, 2), torch.randn(7)
    assert energy.reference is None
    assert torch.equal(energy.relative(samples, GaussianSampler(EVENT), log_q), energy(samples))
    assert torch.equal(energy.learned(samples), energy(samples))
    assert torch.equal(energy.in_pieces(samples, 3), energy(samples).double())
    assert energy.log_weights(samples, GaussianSampler(EVENT), log_q).dtype == torch.float64
    assert list(energy.tensors()) == []
    assert as_energy(energy) is energy
    assert SampleTarget(energy, EVENT).energy is energy


def test_half_precision_is_widened():
    assert Energy(lambda x: x.sum(-1))(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ValueError, match=r"cost is 3\.0; give a function of samples"):
        importance(3.0, GaussianSampler(EVENT))


def test_a_regulariser_of_ones_own_is_given_an_energy():
    class Offset(EnergyMagnitude):
        def penalty(self, energy, demonstrations, samples):
            return energy.learned(demonstrations).mean() + energy(samples).mean()

    ones = torch.ones(4, 2)
    assert Offset(EVENT, weight=0.5)(lambda x: x.sum(-1), ones, ones) == 2


def test_the_old_path_is_the_same_class():
    with pytest.warns(DeprecationWarning, match=r"lightning_irl\.views\.energy has moved to lightning_irl\.costs"):
        assert importlib.import_module("lightning_irl.views.energy").Energy is Energy
