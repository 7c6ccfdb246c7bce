"""Annealed importance sampling, forward and reverse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lightning_irl.partition import annealed, annealed_bracket, annealed_run, continue_chains, estimate_all
from lightning_irl.partition.annealed import annealing_doubts
from lightning_irl.partition.path import GeometricPath
from lightning_irl.partition.pilot import pilot_schedule
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import make_event

SMALL = {"num_chains": 128, "num_temperatures": 60}


def test_skewed_target_from_a_broad_start(log_gamma):
    known = log_gamma(4)
    estimate = annealed(known.cost, BroadSampler(known.event, width=3.0), **SMALL, name="annealed_broad")
    assert estimate.method == "annealed_broad"
    assert estimate.reliable
    assert estimate.certifies
    assert estimate.stderr < 0.15
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


@pytest.mark.long
def test_image_on_a_box(beta_pixels):
    known = beta_pixels([1, 8, 8])
    estimate = annealed(known.cost, known.sampler, num_chains=128, num_temperatures=150)
    assert estimate.reliable
    assert estimate.stderr < 0.15
    assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


def test_weights_are_unbiased_even_with_bad_moves(log_gamma):
    # E[w] = Z holds for any schedule: ten temperatures are few, so judge Z itself, not its logarithm, by its own error.
    known = log_gamma(1)
    run = annealed_run(known.cost, known.sampler, num_chains=4000, num_temperatures=10, leapfrog_steps=1)
    weights = run.log_weights.exp()
    assert abs(float(weights.mean()) - 1) < 4 * float(weights.std()) / math.sqrt(len(weights))


def test_ends_are_weighted_draws_of_the_model(log_gamma):
    known = log_gamma(1)
    run = annealed_run(known.cost, known.sampler, num_chains=1024, num_temperatures=60)
    draws = continue_chains(run, draws_per_chain=6)
    assert draws.samples.shape == (1024, 6, 1)
    weights = torch.softmax(draws.log_weights, 0)
    mean = float(torch.special.polygamma(0, torch.tensor(2.0)))
    variance = float(torch.special.polygamma(1, torch.tensor(2.0)))
    for index in (0, 5):
        estimate = float((weights * draws.samples[:, index, 0].double()).sum())
        assert abs(estimate - mean) < 4 * math.sqrt(variance / draws.ess)


@pytest.mark.long
def test_64d_gaussian_within_a_tenth_of_a_nat(gaussian_image):
    # Thermodynamic length sqrt(64 / 2) ln(1 / 0.09) = 13.6, so with 300 temperatures a variance of about 0.62 plus what
    # correlation of the moves adds; stderr 0.045 with 512 chains.
    event = make_event("point", [64])
    truth = gaussian_image(1.0).log_z
    assert truth == pytest.approx(-18.24, abs=0.005)
    estimate = annealed(
        lambda x: x.square().sum(-1) / (2 * 0.3**2), BroadSampler(event, 1.0), num_chains=512, num_temperatures=300
    )
    assert estimate.reliable
    assert estimate.stderr < 0.08
    assert abs(estimate.log_z - truth) < 4 * estimate.stderr


def test_reverse_from_exact_draws_brackets(log_gamma):
    known = log_gamma(2)
    exact = torch.distributions.Gamma(2.0, 1.0).sample((256, 2)).log()
    result = annealed_bracket(known.cost, known.sampler, num_chains=256, num_temperatures=40, model_samples=exact)
    assert result.bracket
    assert result.agree
    assert result.started_from == "exact draws of the model"
    assert result.started_from in result.reverse.reason
    assert abs(result.reverse.log_z - known.log_z) < 4 * result.reverse.stderr
    assert result.reverse.reliable


def test_reverse_from_the_ends_of_chains_is_no_bracket(log_gamma):
    known = log_gamma(2)
    result = annealed_bracket(known.cost, known.sampler, num_chains=256, num_temperatures=40)
    assert not result.bracket
    assert result.agree
    assert "ends of forward chains" in result.reverse.reason
    assert abs(result.reverse.log_z - known.log_z) < 4 * result.reverse.stderr


def test_reverse_from_demonstrations_does_not_certify(log_gamma):
    known = log_gamma(2)
    estimate = annealed(
        known.cost,
        known.sampler,
        num_chains=64,
        num_temperatures=20,
        direction="reverse",
        model_samples=torch.randn(64, 2) - 1,
        model_samples_are="demonstrations",
    )
    assert not estimate.certifies
    assert not estimate.reliable
    assert "demonstrations" in estimate.reason


def test_a_false_claim_of_exact_draws_is_caught(log_gamma):
    # Draws far in the model's thin tail have too much cost for their log q, and three short moves do not forget it: the
    # reverse comes out below the forward, which is no bracket.
    known = log_gamma(4)
    result = annealed_bracket(
        known.cost,
        known.sampler,
        num_chains=256,
        num_temperatures=3,
        leapfrog_steps=1,
        model_samples=2.0 + 0.1 * torch.randn(256, 4),
    )
    assert not result.bracket
    assert not result.agree
    assert not result.reverse.reliable
    assert "below the forward" in result.reverse.reason


def test_refused_directions(log_gamma):
    known = log_gamma(1)
    with pytest.raises(ValueError, match="give model_samples"):
        annealed(known.cost, known.sampler, direction="reverse", **SMALL)
    with pytest.raises(ValueError, match="allowed: forward, reverse"):
        annealed(known.cost, known.sampler, direction="sideways", **SMALL)


def test_schedule_spends_temperatures_where_the_path_is_long(gaussian_image):
    # Between Gaussians of precision 1 and 1 / 0.09 equal lengths are equal ratios of precision 1 + 10.1 beta.
    event = make_event("point", [64])
    path = GeometricPath(lambda x: x.square().sum(-1) / (2 * 0.3**2), BroadSampler(event, 1.0))
    schedule = pilot_schedule(path, 100, leapfrog_steps=4)
    assert schedule.betas[0] == 0
    assert schedule.betas[-1] == 1
    assert all(left <= right for left, right in zip(schedule.betas, schedule.betas[1:], strict=False))
    assert schedule.length == pytest.approx(13.6, rel=0.2)
    halfway = (1 / 0.3 - 1) / (1 / 0.09 - 1)
    assert schedule.betas[50] == pytest.approx(halfway, rel=0.25)
    # Masses are precisions, 1 at the start and 11.1 at the end; 128 chains know each to sqrt(2 / 128) = 12 %.
    assert float(schedule.masses[-1].mean()) == pytest.approx(11.1, rel=0.15)


def test_too_few_temperatures_are_noticed_with_advice(gaussian_image):
    known = gaussian_image(4.0)
    estimate = annealed(known.cost, known.sampler, num_chains=128, num_temperatures=10)
    assert not estimate.reliable
    assert "num_temperatures" in estimate.reason


def test_doubts_ask_for_more_chains_when_temperatures_suffice(log_gamma):
    known = log_gamma(1)
    run = annealed_run(known.cost, known.sampler, num_chains=32, num_temperatures=40)
    assert "more chains" in annealing_doubts(10.0, 0.1, 0.9, 32, run.schedule)[0]
    assert "accepted" in annealing_doubts(100.0, 0.1, 0.1, 256, run.schedule)[0]


def test_works_in_inference_mode_and_leaves_parameters_alone():
    event = make_event("point", [2])
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    sampler = BroadSampler(event)
    with torch.inference_mode():
        estimates = estimate_all(
            lambda x: network(x).squeeze(-1) + x.square().sum(-1) / 2, sampler, num_chains=64, num_temperatures=20
        )
    assert all(math.isfinite(estimate.log_z) for estimate in estimates)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_costs_that_are_infinite_somewhere():
    # A Gaussian cut to its right half: log Z is that of half a Gaussian, weights of zero are no accident.
    event = make_event("point", [1])
    estimate = annealed(
        lambda x: torch.where(x > 0, x.square() / 2, math.inf).sum(-1),
        BroadSampler(event),
        num_chains=512,
        num_temperatures=40,
    )
    assert estimate.reliable
    assert abs(estimate.log_z - math.log(math.sqrt(2 * math.pi) / 2)) < 4 * estimate.stderr


def test_a_flat_cost_on_a_box_is_its_volume():
    event = make_event("image", [1, 2, 2], support="box", low=-1.0, high=2.0)
    estimate = annealed(lambda x: torch.zeros(len(x)), BroadSampler(event), **SMALL)
    assert estimate.log_z == pytest.approx(
        4 * math.log(3), abs=1e-4
    )  # q is the model: no spread, only float32 rounding
    assert estimate.reliable
