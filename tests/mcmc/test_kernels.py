"""Every kernel against known moments of skewed targets, in the image's shape."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lightning_irl.mcmc import HMC, MALA, Kernel, Langevin

SHAPE = (1, 4, 4)
# log x for x ~ gamma(2) in every pixel: skewed to the left; mean, variance and third central moment are polygammas at
# 2.
MEAN, VARIANCE, THIRD = (float(torch.special.polygamma(order, torch.tensor(2.0))) for order in (0, 1, 2))

EXACT = [HMC(step_size=0.5, leapfrog_steps=2), MALA(step_size=0.15)]
KERNELS = [*EXACT, Langevin(step_size=0.005)]


def log_gamma(x):
    return (x.exp() - 2 * x).flatten(1).sum(-1)


def log_gamma_draws(num):
    return torch.distributions.Gamma(2.0, 1.0).sample((num, *SHAPE)).log()


def _moves(kernel, position, potential, steps):
    state = kernel.init(position, potential)
    for _ in range(steps):
        state, info = kernel.step(state, potential, kernel.step_size)
    return state.position, info


@pytest.mark.parametrize("kernel", EXACT, ids=lambda kernel: type(kernel).__name__)
def test_exact_kernels_keep_the_moments_of_a_skewed_target(kernel):
    # Starts are exact draws, so moments must stay: 2000 chains of 16 pixels, errors from the chains' own spread.
    last, info = _moves(kernel, log_gamma_draws(2000), log_gamma, 10)
    assert 0.3 < info.acceptance.mean() < 0.97  # steps so large that rejections must correct them
    centred = last.double() - MEAN
    for power, expected in ((1, 0.0), (2, VARIANCE), (3, THIRD)):
        means = centred.pow(power).flatten(1).mean(1)
        assert abs(float(means.mean()) - expected) < 4 * float(means.std()) / math.sqrt(len(means))


@pytest.mark.parametrize("kernel", EXACT, ids=lambda kernel: type(kernel).__name__)
def test_exact_kernels_reach_a_skewed_target_from_elsewhere(kernel):
    last, _ = _moves(kernel, torch.full((1000, *SHAPE), -2.0), log_gamma, 120)
    means = last.double().flatten(1).mean(1)
    assert abs(float(means.mean()) - MEAN) < 4 * float(means.std()) / math.sqrt(len(means))


def test_an_uncorrected_step_errs_by_its_own_order():
    # The bias of unadjusted Langevin is of first order in the step: a quarter of it at a quarter of the step, on one
    # pixel.
    biases = []
    for step_size in (0.2, 0.05):
        kernel = Langevin(step_size)
        position = torch.distributions.Gamma(2.0, 1.0).sample((100_000, 1)).log().double()
        position, _ = kernel.run(position, log_gamma, round(6 / step_size), step_size)
        biases.append(float(position.var()) - VARIANCE)
        noise = float((position - position.mean()).square().std()) / math.sqrt(len(position))
    assert biases[0] > 10 * noise
    assert abs(biases[1] - biases[0] / 4) < 4 * noise + 0.1 * biases[0] / 4


@pytest.mark.parametrize(("temperature", "noise"), [(0.5, 1.0), (1.0, 0.5), (2.0, 0.5)])
def test_temperature_and_noise_of_langevin(temperature, noise):
    # A unit Gaussian at temperature T s^2 has that variance, over 1 - step / 2 for the discretisation (exact for a
    # Gaussian).
    kernel = Langevin(0.1, temperature, noise)
    last, _ = kernel.run(torch.zeros(50_000, 1), lambda x: x.square().sum(-1) / 2, 60, 0.1)
    expected = kernel.sampled_temperature / (1 - 0.05)
    assert kernel.sampled_temperature == temperature * noise**2
    assert abs(float(last.var()) - expected) < 4 * expected * math.sqrt(2 / 50_000)
    assert any("temperature" in line for line in kernel.departures())


def test_the_acceptance_of_an_uncorrected_move_is_that_of_mala():
    # For exact draws, the mean of exp(-error) over proposals is 1 for a correct ratio.
    start = log_gamma_draws(20_000).double()[:, :, :1, :1]
    _, info = _moves(Langevin(0.2), start, log_gamma, 1)
    ratio = torch.exp(-info.energy_error)
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(len(ratio))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_parameters_stay_frozen_and_inference_mode_is_no_obstacle(kernel):
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
    before = [parameter.clone() for parameter in network.parameters()]

    def potential(x):
        return network(x).squeeze(-1) + x.square().flatten(1).sum(-1) / 2

    with torch.inference_mode():
        position, _ = kernel.run(torch.randn(16, *SHAPE), potential, 3, kernel.step_size)
    assert position.std() > 0
    assert not position.requires_grad
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.grad is None
        assert parameter.requires_grad
        assert torch.equal(parameter, old)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_run_is_a_sequence_of_steps(kernel):
    start = log_gamma_draws(4).double()
    torch.manual_seed(1)
    whole, _ = kernel.run(start, log_gamma, 3, kernel.step_size)
    torch.manual_seed(1)
    torch.testing.assert_close(whole, Kernel.run(kernel, start, log_gamma, 3, kernel.step_size)[0])


@pytest.mark.parametrize("kernel", EXACT, ids=lambda kernel: type(kernel).__name__)
def test_never_moves_to_where_the_density_is_zero_or_unknown(kernel):
    for nothing in (math.inf, math.nan):

        def potential(x, nothing=nothing):
            return torch.where(x[:, 0] > 0, x.square().sum(-1) / 2, nothing)

        last, _ = _moves(kernel, torch.rand(500, 1), potential, 10)
        assert (last > 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Langevin(0.0), "step_size is 0.0"),
        (lambda: Langevin(0.1, noise=-1.0), "noise -1.0"),
        (lambda: MALA(-0.1), "must be above 0"),
        (lambda: HMC(leapfrog_steps=0), "leapfrog_steps is 0"),
    ],
)
def test_bad_options_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
