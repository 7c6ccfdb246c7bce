"""Both recursions against integrals done at once, closed forms, and draws."""

import math

import pytest
import torch

from lightning_irl.dynamic_programming.riccati import (
    Controller,
    QuadraticSteps,
    attained_value,
    log_z,
    risk_seeking_riccati,
    soft_riccati,
    soft_value,
    true_steps,
)
from lightning_irl.environments import LinearQuadratic
from lightning_irl.policies import TimeVaryingLinearGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

HORIZON = 4


def random_world(noise=0.3, seed=0, size=2, actions=2, start=True):
    draw = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}

    def definite(order):
        root = torch.randn(order, order, **draw)
        return root @ root.mT / order + 0.2 * torch.eye(order)

    return LinearQuadratic(
        torch.eye(size) + 0.3 * torch.randn(size, size, **draw),
        torch.randn(size, actions, **draw),
        noise_covariance=noise * definite(size),
        initial_mean=torch.randn(size, **draw),
        initial_covariance=definite(size) if start else torch.zeros(size, size),
        state_cost=definite(size),
        action_cost=definite(actions),
    )


def random_steps(world, seed=1, horizon=HORIZON):
    """Costs with everything that a quadratic has, each step its own."""
    draw = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    size = world.observation_shape[0] + world.action_shape[0]
    bent = 0.03 * torch.randn(horizon, size, size, **draw)
    plain = true_steps(world, horizon)
    return QuadraticSteps(
        plain.hessian + bent + bent.mT, torch.randn(horizon, size, **draw), torch.randn(horizon, **draw)
    )


def trajectory_cost(world, steps, x):
    """Cost of a trajectory as a function of all that is free: start noise, then action and noise of each step; and
    |noise|^2 / 2.
    """
    size, actions = world.observation_shape[0], world.action_shape[0]
    state, total, at = world.initial_mean + world.initial_root @ x[:size], x[:size].square().sum() / 2, size
    for hessian, slope, constant in zip(*steps, strict=True):
        action, noise = x[at : at + actions], x[at + actions : at + actions + size]
        z = torch.cat([state, action])
        total = total + z @ hessian @ z / 2 + slope @ z + constant + noise.square().sum() / 2
        state = world.state_matrix @ state + world.action_matrix @ action + world.noise_root @ noise
        at += actions + size
    return total


@pytest.mark.parametrize("seed", range(3))
def test_log_z_is_the_gaussian_integral_done_at_once(seed):
    world = random_world(seed=seed)
    steps = random_steps(world, seed=seed + 10)
    size = world.observation_shape[0] + HORIZON * (world.observation_shape[0] + world.action_shape[0])
    zero = torch.zeros(size, dtype=torch.float64)

    def cost(x):
        return trajectory_cost(world, steps, x)

    hessian, slope = torch.func.hessian(cost)(zero), torch.func.grad(cost)(zero)
    best = -torch.linalg.solve(hessian, slope)
    # noise has a density with its 2 pi, actions have none
    expected = -cost(best) - torch.logdet(hessian) / 2 + HORIZON * world.action_shape[0] * math.log(2 * math.pi) / 2
    torch.testing.assert_close(log_z(world, steps), expected, rtol=0, atol=1e-10)


def test_log_z_of_one_step_by_quadrature():
    world = LinearQuadratic([[0.5]], [[2.0]], initial_mean=[1.5], initial_covariance=[[0.0]])
    steps = true_steps(world, 1, temperature=0.5)
    action = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    cost = (1.5**2 + action.square()) / 2 / 0.5
    expected = torch.logsumexp(-cost, 0) + math.log(1e-3)
    torch.testing.assert_close(log_z(world, steps), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(soft_value(world, steps), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_the_soft_value_is_attained_and_nothing_beats_it(seed):
    world = random_world(seed=seed)
    steps = random_steps(world, seed=seed + 10)
    _, policy = soft_riccati(world, steps)
    best = soft_value(world, steps)
    torch.testing.assert_close(attained_value(world, steps, policy), best, rtol=0, atol=1e-10)
    free = Controller(*(part.clone().requires_grad_() for part in policy))
    slopes = torch.autograd.grad(attained_value(world, steps, free), free)
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-9
    torch.manual_seed(seed)
    for _ in range(5):
        worse = policy._replace(gains=policy.gains + 0.1 * torch.randn_like(policy.gains))
        assert attained_value(world, steps, worse) < best
    assert best < log_z(world, steps)


def test_without_chance_the_two_are_one():
    world = random_world(noise=0.0, start=False)
    steps = random_steps(world)
    torch.testing.assert_close(log_z(world, steps), soft_value(world, steps), rtol=0, atol=1e-10)
    for causal, seeking in zip(soft_riccati(world, steps)[1], risk_seeking_riccati(world, steps)[1], strict=True):
        torch.testing.assert_close(causal, seeking)


def test_a_constant_and_a_temperature():
    world = random_world()
    steps = random_steps(world)
    raised = steps._replace(constant=steps.constant + 2)
    for value in (soft_value, log_z):
        torch.testing.assert_close(value(world, raised), value(world, steps) - 2 * HORIZON)
        hot, cold = true_steps(world, 3, temperature=2.0), true_steps(world, 3)
        torch.testing.assert_close(value(world, hot), value(world, cold._replace(hessian=cold.hessian / 2)))


def test_draws_attain_what_is_said():
    """-E_q[c] - E_q[log q] by the sampler that is trained, within five standard errors; and so is
    log Z by importance.
    """
    world = random_world(noise=0.1)
    steps = true_steps(world, HORIZON)
    event = make_trajectory_event(HORIZON, [2], action_shape=[2])
    sampler = PolicySampler(event, world, TimeVaryingLinearGaussianPolicy).double()
    _, policy = soft_riccati(world, steps)
    sampler.policy.assign(*policy)
    torch.manual_seed(0)
    rollout = sampler.rollout(20_000)
    pay = rollout.rewards.sum(1) - rollout.log_q.sum(1)
    assert abs(pay.mean() - soft_value(world, steps)) < 5 * pay.std() / len(pay) ** 0.5
    weights = (pay - pay.max()).exp()
    estimate = weights.mean().log() + pay.max()
    assert abs(estimate - log_z(world, steps)) < 5 * weights.std() / weights.mean() / len(pay) ** 0.5


@pytest.mark.parametrize("recursion", [soft_riccati, risk_seeking_riccati])
def test_an_infinite_integral_is_refused_at_its_step(recursion):
    world = random_world()
    steps = true_steps(world, HORIZON)
    broken = QuadraticSteps(steps.hessian.clone(), steps.slope, steps.constant)
    broken.hessian[3, 2:, 2:] = -torch.eye(2)
    with pytest.raises(ValueError, match="at step 3 the cost does not hold the action"):
        recursion(world, broken)


def test_luck_without_bound_is_refused():
    world = LinearQuadratic([[1.0]], [[1.0]], noise_covariance=[[4.0]])
    steps = true_steps(world, 2)
    falling = steps._replace(hessian=torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double().expand(2, 2, 2).clone())
    falling.hessian[
        1, 0, 0
    ] = -0.3  # of the state reached: exp(0.15 s^2) under N(., 4) is infinite, and E[0.15 s^2] is not
    assert soft_value(world, falling).isfinite()
    with pytest.raises(ValueError, match="noise brings more than the cost takes"):
        log_z(world, falling)
