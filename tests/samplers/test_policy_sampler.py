"""Rollouts of a policy, and their density."""

from functools import partial

import pytest
import torch

from lightning_irl.environments import CartPole, Environment, Pendulum, Step
from lightning_irl.event import make_trajectory_event
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy, GaussianPolicy
from lightning_irl.samplers import PolicySampler

PENDULUM = make_trajectory_event(7, [3], action_shape=[1], action_low=[-2], action_high=[2])
FREE = make_trajectory_event(5, [3], action_shape=[1])
CARTPOLE = make_trajectory_event(80, [4], num_actions=2, absorbing=True)


class Scripted(Environment):
    """Episode b ends after b + 1 steps; observations count steps, after the end they are garbage."""

    observation_shape = (1,)
    num_actions = 2
    absorbing = True

    def reset(self, num, *, dtype=torch.float32, device="cpu"):
        return torch.zeros(num, 1, dtype=dtype, device=device), torch.zeros(num, 1, dtype=dtype, device=device)

    def step(self, state, action):
        state = state + 1
        order = torch.arange(len(state))
        garbage = torch.where(state[:, 0] > order + 1, torch.nan, state[:, 0])
        return Step(state, garbage[:, None], torch.ones(len(state)), state[:, 0] == order + 1)


def test_what_follows_an_early_end_is_absorbed():
    event = make_trajectory_event(4, [1], num_actions=2, absorbing=True)
    trajectory, log_q, rewards = PolicySampler(event, Scripted(), CategoricalPolicy).rollout(6)
    lengths = torch.tensor([1, 2, 3, 4, 4, 4])
    assert torch.equal(trajectory.mask.sum(1), lengths)
    assert trajectory.terminal.tolist() == [True, True, True, True, False, False]
    assert torch.equal(trajectory.absorbed.sum(1), torch.tensor([3, 2, 1, 0, 0, 0]))
    assert torch.equal(rewards.sum(1), lengths.float())
    assert torch.isfinite(trajectory.observations).all()
    assert torch.equal(trajectory.observations[1, :, 0], torch.tensor([0.0, 1, 2, 2, 2]))
    assert (log_q[~trajectory.mask] == 0).all()


@pytest.mark.parametrize(
    ("event", "environment", "policy"),
    [
        (PENDULUM, Pendulum(), ClippedGaussianPolicy),
        (FREE, Pendulum(), GaussianPolicy),
        (CARTPOLE, CartPole(), CategoricalPolicy),
    ],
    ids=["clipped", "free", "absorbing"],
)
def test_draws_come_with_the_sum_of_log_pi(event, environment, policy):
    sampler = PolicySampler(event, environment, policy).double()
    trajectory, log_q = sampler.sample(9)
    assert trajectory.observations.dtype == torch.float64
    assert torch.allclose(sampler.log_prob(trajectory), log_q)
    assert torch.allclose(sampler.step_log_prob(trajectory).sum(1), log_q)
    assert not log_q.requires_grad
    assert sampler.log_prob(trajectory).requires_grad


def test_the_same_seed_draws_the_same_trajectories():
    sampler = PolicySampler(PENDULUM, Pendulum(), ClippedGaussianPolicy)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(sampler.sample(2)[0].observations)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_pathwise_gradient_is_that_of_finite_differences():
    sampler = PolicySampler(FREE, Pendulum(), partial(GaussianPolicy, hidden=[4], activation=torch.nn.Tanh)).double()
    weight = sampler.policy.network[-1].weight

    def value():
        torch.manual_seed(0)
        trajectory, log_q = sampler.rsample(20)
        return (trajectory.observations[:, 1:].square().sum((1, 2)) + log_q).mean()

    (gradient,) = torch.autograd.grad(value(), weight)
    direction, step = torch.randn_like(weight), 1e-6
    with torch.no_grad():
        weight.add_(step * direction)
        above = value()
        weight.sub_(2 * step * direction)
        below = value()
    assert ((gradient * direction).sum() - (above - below) / (2 * step)).abs() < 1e-7


def test_a_deterministic_rollout_takes_the_mode():
    sampler = PolicySampler(PENDULUM, Pendulum(), ClippedGaussianPolicy)
    start = sampler.environment.reset(4)
    first, second = (sampler.rollout(4, deterministic=True, start=start).trajectory for _ in range(2))
    assert torch.equal(first.actions, second.actions)
    assert torch.equal(first.observations[:, 0], start[1])
    mode = sampler.policy.mode(first.observations[:, :-1], first.time)
    assert torch.allclose(first.actions, mode)


@pytest.mark.parametrize(
    ("event", "environment", "words"),
    [
        (PENDULUM, CartPole(), "not from this environment"),
        (make_trajectory_event(5, [4], num_actions=3, absorbing=True), CartPole(), "num_actions"),
        (make_trajectory_event(5, [4], num_actions=2), CartPole(), "absorbing=true"),
    ],
)
def test_demonstrations_of_another_environment_are_refused(event, environment, words):
    policy = CategoricalPolicy if event["num_actions"] else ClippedGaussianPolicy
    with pytest.raises(ValueError, match=words):
        PolicySampler(event, environment, policy)


def test_no_pathwise_gradient_through_discrete_actions():
    sampler = PolicySampler(CARTPOLE, CartPole(), CategoricalPolicy)
    assert not sampler.has_rsample
    with pytest.raises(NotImplementedError):
        sampler.rsample(2)


def test_a_snapshot_stays_while_the_policy_learns():
    sampler = PolicySampler(PENDULUM, Pendulum(), ClippedGaussianPolicy)
    copy = sampler.snapshot()
    trajectory, log_q = sampler.sample(3)
    with torch.no_grad():
        sampler.policy.log_std.add_(1)
    assert torch.allclose(copy.log_prob(trajectory), log_q)
    assert not torch.allclose(sampler.log_prob(trajectory), log_q)
    assert copy.environment is sampler.environment
    assert not any(parameter.requires_grad for parameter in copy.parameters())
