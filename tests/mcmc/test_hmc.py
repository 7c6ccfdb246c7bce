"""Moves leave skewed targets invariant."""

from __future__ import annotations

import math

import torch
from torch import nn

from lightning_irl.mcmc import hmc
from lightning_irl.mcmc.kernel import init


def _run(potential, position, steps, **options):
    state = init(position, potential)
    kept = []
    for _ in range(steps):
        state, info = hmc.step(state, potential, **options)
        kept.append(state.position)
    return torch.stack(kept), info


def test_stationary_moments_of_a_skewed_target():
    # log x for x ~ gamma(2): mean digamma(2), variance trigamma(2), third central moment polygamma(2, 2).
    # Starts are exact draws, so every step must stay: moments of 4000 chains x 2 coordinates at the last step, with
    # errors
    # from their own spread.
    start = torch.distributions.Gamma(2.0, 1.0).sample((4000, 2)).log()
    kept, info = _run(lambda x: (x.exp() - 2 * x).sum(-1), start, 10, step_size=0.9, leapfrog_steps=3)
    assert 0.5 < info.acceptance.mean() < 0.99  # steps so large that acceptance must correct them
    last = kept[-1].double().flatten()
    two = torch.tensor(2.0)
    mean, variance, third = (float(torch.special.polygamma(order, two)) for order in (0, 1, 2))
    centred = last - mean
    for power, expected in ((1, 0.0), (2, variance), (3, third)):
        values = centred**power
        assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(len(values))


def test_reaches_a_skewed_target_from_elsewhere():
    kept, _ = _run(lambda x: (x.exp() - 2 * x).sum(-1), torch.full((2000, 1), -2.0), 40, step_size=0.5)
    last = kept[-1].double()
    mean = float(torch.special.polygamma(0, torch.tensor(2.0)))
    assert abs(float(last.mean()) - mean) < 4 * float(last.std()) / math.sqrt(2000)


def test_mass_equals_a_change_of_scale():
    scales = torch.tensor([0.01, 1.0, 100.0])
    start = scales * torch.randn(500, 3)
    _, info = _run(
        lambda x: (x / scales).square().sum(-1) / 2, start, 5, step_size=0.4, leapfrog_steps=4, mass=scales**-2
    )
    # Unit Gaussians in three dimensions at step 0.4: energy errors are of the order step^2 / 8 per coordinate.
    assert info.acceptance.mean() > 0.93


def test_kinetic_energy_is_summed_over_coordinates():
    # With exact draws, E[exp(-energy error)] = 1 whatever the step; a kinetic energy that forgets coordinates breaks
    # it.
    x = torch.randn(20_000, 8, dtype=torch.float64)
    state = init(x, lambda x: x.square().sum(-1) / 2)
    _, info = hmc.step(state, lambda x: x.square().sum(-1) / 2, 0.5, 3)
    ratio = torch.exp(-info.energy_error)
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(len(ratio))


def test_parameters_stay_frozen_and_inference_mode_is_no_obstacle():
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    before = [parameter.clone() for parameter in network.parameters()]

    def potential(x):
        return network(x).squeeze(-1) + x.square().sum(-1) / 2

    with torch.inference_mode():
        kept, _ = _run(potential, torch.randn(16, 2), 3, step_size=0.3)
    assert kept.std() > 0
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.grad is None
        assert parameter.requires_grad
        assert torch.equal(parameter, old)


def test_never_moves_to_where_the_density_is_zero_or_unknown():
    for nothing in (math.inf, math.nan):

        def potential(x, nothing=nothing):
            value = x.square().sum(-1) / 2
            return torch.where(x[:, 0] > 0, value, nothing)

        kept, _ = _run(potential, torch.rand(500, 1), 10, step_size=1.0)
        assert (kept > 0).all()
