"""PPO against slow formulas, and on a task."""

import pytest
import torch

from lightning_irl.environments import CartPole, Pendulum
from lightning_irl.event import make_event, make_trajectory_event
from lightning_irl.learners import PPO
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy
from lightning_irl.samplers import GaussianSampler, PolicySampler
from lightning_irl.trajectory import cut

EVENT = make_trajectory_event(20, [3], action_shape=[1], action_low=[-2], action_high=[2])
ABSORBING = make_trajectory_event(60, [4], num_actions=2, absorbing=True)


@pytest.mark.parametrize(("discount", "decay"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_are_the_weighted_sum_of_errors(discount, decay):
    learner = PPO(EVENT, discount=discount, decay=decay)
    rewards, values = torch.randn(2, 5, 20).double()
    found = learner.advantages(rewards, values)
    following = torch.cat([values[:, 1:], torch.zeros(5, 1).double()], 1)
    errors = rewards + discount * following - values
    for start in range(20):
        weights = (discount * decay) ** torch.arange(20 - start).double()
        assert torch.allclose(found[:, start], (errors[:, start:] * weights).sum(1))
    if decay == discount == 1:
        assert torch.allclose(found + values, rewards.flip(1).cumsum(1).flip(1))


def test_the_first_descent_is_the_policy_gradient():
    sampler = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy).double()
    learner = PPO(EVENT, minibatches=1, value_weight=0.0).double()
    trajectory, _ = sampler.sample(30)

    def objective(steps, log_pi):
        return steps.observations[:, 0, 0] + log_pi

    assert learner.begin(sampler, objective, trajectory) == 4
    parameters = list(sampler.policy.parameters())
    found = torch.autograd.grad(learner.loss(sampler, objective, 30), parameters)
    with torch.no_grad():
        log_pi = sampler.step_log_prob(trajectory)
        rewards = -(trajectory.observations[:, :-1, 0] + log_pi)
        learner.return_mean.zero_(), learner.return_variance.fill_(1.0)
        values = learner.value(trajectory.observations[:, :-1], trajectory.time)
        advantages = learner.advantages(rewards, values)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    expected = torch.autograd.grad(-(advantages * sampler.step_log_prob(trajectory)).mean(), parameters)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)


def test_the_value_of_absorption_is_its_cost_for_all_the_time_left():
    sampler = PolicySampler(ABSORBING, CartPole(), CategoricalPolicy)
    learner = PPO(ABSORBING, decay=0.0)
    trajectory, _ = sampler.sample(20)
    assert trajectory.terminal.any()

    def objective(steps, log_pi):
        return torch.where(steps.absorbed[:, 0], 3.0, 0.0)

    learner.begin(sampler, objective, trajectory)
    observation, _, time, _, _, target = learner._steps
    episode = int(trajectory.terminal.nonzero()[0])
    last = int(trajectory.mask[episode].sum()) - 1
    places = (time == last) & (observation == trajectory.observations[episode, last]).all(1)
    assert places.sum() == 1
    assert target[places].item() == pytest.approx(-3.0 * (60 - last - 1))
    assert len(time) == trajectory.mask.sum()  # steps without an action are not learned from


def test_it_learns_to_balance():
    event = make_trajectory_event(100, [4], num_actions=2, absorbing=True, observation_scale=[0.5, 0.5, 0.05, 0.5])
    sampler = PolicySampler(event, CartPole(), CategoricalPolicy)
    learner = PPO(event, passes=4, minibatches=4)
    optimizer = torch.optim.Adam([*sampler.parameters(), *learner.parameters()], lr=3e-3)

    def objective(steps, log_pi):
        return steps.absorbed[:, 0].float() + 0.01 * log_pi

    before = sampler.rollout(100).rewards.sum(1).mean()
    for _ in range(12):
        trajectory, _ = sampler.sample(64)
        for _ in range(learner.begin(sampler, objective, trajectory)):
            loss = learner.loss(sampler, objective, 64)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    after = sampler.rollout(100).rewards.sum(1).mean()
    assert before < 35
    assert after > 70


def test_its_statistics_are_saved():
    keys = PPO(EVENT).state_dict()
    assert {"return_mean", "return_variance", "rounds"} < set(keys)


def test_what_it_cannot_train_is_refused():
    with pytest.raises(ValueError, match="PolicySampler"):
        PPO(EVENT).check(GaussianSampler(make_event("point", [2])))
    with pytest.raises(ValueError, match="kind point"):
        PPO(make_event("point", [2]))
    with pytest.raises(ValueError, match="passes"):
        PPO(EVENT, passes=0)
    with pytest.raises(ValueError, match="discount"):
        PPO(EVENT, discount=1.5)


def test_transitions_are_what_the_objective_sees():
    sampler, seen = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy), []
    trajectory, _ = sampler.sample(3)

    def objective(steps, log_pi):
        seen.append((steps, log_pi))
        return log_pi

    PPO(EVENT).begin(sampler, objective, trajectory)
    steps, log_pi = seen[0]
    assert torch.equal(steps.observations, cut(trajectory, 1).observations)
    assert torch.allclose(log_pi, sampler.step_log_prob(trajectory).flatten())
