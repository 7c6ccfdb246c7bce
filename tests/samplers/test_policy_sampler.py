"""Rollouts of a policy, and their density."""

from functools import partial

import pytest
import torch

from lightning_irl.environments import CartPole, Environment, Pendulum, Step
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy, GaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.spaces.trajectory import cut

PENDULUM = make_trajectory_event(7, [3], action_shape=[1], action_low=[-2], action_high=[2])
FREE = make_trajectory_event(5, [3], action_shape=[1])
CARTPOLE = make_trajectory_event(80, [4], num_actions=2, absorbing=True)


class Scripted(Environment):
    """Episode b ends after b + 1 steps; observations count steps, after the end they are garbage."""

    num_actions = 2
    absorbing = True

    def __init__(self, shape=(1,)):
        super().__init__()
        self.observation_shape = shape

    def observe(self, state):
        return state.view(-1, *[1] * len(self.observation_shape)).expand(-1, *self.observation_shape)

    def reset(self, num, *, dtype=torch.float32, device="cpu"):
        state = torch.zeros(num, dtype=dtype, device=device)
        return state, self.observe(state)

    def step(self, state, action):
        state, order = state + 1, torch.arange(len(state), device=state.device)
        garbage = torch.where(state > order + 1, torch.nan, state)
        reward = torch.where(state > order + 1, torch.nan, 1.0)
        return Step(state, self.observe(garbage), reward, (state == order + 1) | (state == order + 3))


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 2, 3)])
def test_what_follows_an_early_end_is_absorbed(shape):
    event = make_trajectory_event(4, shape, num_actions=2, absorbing=True)
    sampler = PolicySampler(event, Scripted(shape), partial(CategoricalPolicy, sees_time=True)).double()
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    trajectory, log_q, rewards = sampler.rollout(6)
    lengths = torch.tensor([1, 2, 3, 4, 4, 4])
    assert torch.equal(trajectory.mask, torch.arange(4) < lengths[:, None])
    assert trajectory.terminal.tolist() == [True, True, True, True, False, False]
    assert torch.equal(trajectory.absorbed.sum(1), torch.tensor([3, 2, 1, 0, 0, 0]))
    assert torch.equal(rewards, trajectory.mask.double())
    assert torch.equal(trajectory.start, torch.zeros(6, dtype=torch.long))
    steps = torch.minimum(torch.arange(5), lengths[:, None]).double()  # the state after the end is the last one
    assert torch.equal(trajectory.observations, steps.view(6, 5, *[1] * len(shape)).expand(6, 5, *shape))
    assert (log_q[~trajectory.mask] == 0).all()
    assert (log_q[trajectory.mask] < 0).all()
    torch.testing.assert_close(sampler.step_log_prob(trajectory), log_q, rtol=0, atol=1e-12)
    # nothing that was done after the end counts
    other = trajectory._replace(actions=torch.where(trajectory.mask, trajectory.actions, 1 - trajectory.actions))
    assert torch.equal(sampler.log_prob(other), sampler.log_prob(trajectory))
    (sampler.log_prob(trajectory) * trajectory.mask.sum(1)).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in sampler.parameters())


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
    """In every parameter, of cost and entropy; central differences of 1e-5 are off by 1e-10 of the third derivative."""
    policy = partial(GaussianPolicy, hidden=[4], activation=torch.nn.Tanh, std_sees_observation=True, sees_time=True)
    sampler = PolicySampler(FREE, Pendulum(), policy).double()
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))

    def value():
        torch.manual_seed(0)
        trajectory, log_q = sampler.rsample(20)
        costs = trajectory.observations[:, 1:].square().sum((1, 2)) + 0.3 * trajectory.actions.square().sum((1, 2))
        return (costs + log_q).mean()

    names, parameters = zip(*sampler.named_parameters(), strict=True)
    gradients, step = torch.autograd.grad(value(), parameters), 1e-5
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
        assert gradient.abs().max() > 1e-3, f"a missing gradient of {name} would not be seen"
        flat = parameter.data.view(-1)
        for index in range(len(flat)):
            kept = flat[index].item()
            with torch.no_grad():
                flat[index] = kept + step
                above = value()
                flat[index] = kept - step
                below = value()
            flat[index] = kept
            slope = ((above - below) / (2 * step)).item()
            assert gradient.view(-1)[index].item() == pytest.approx(slope, rel=1e-6, abs=1e-7), name


def test_pathwise_and_plain_draws_are_the_same_trajectories():
    sampler = PolicySampler(FREE, Pendulum(), GaussianPolicy).double()
    torch.manual_seed(1)
    trajectory, log_q = sampler.sample(6)
    torch.manual_seed(1)
    moving, moving_log_q = sampler.rsample(6)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(trajectory, moving, strict=True))
    assert torch.equal(log_q, moving_log_q)
    assert moving_log_q.requires_grad
    assert moving.observations.requires_grad
    assert not trajectory.observations.requires_grad


@pytest.mark.parametrize(
    ("event", "environment", "policy"),
    [(PENDULUM, Pendulum(), ClippedGaussianPolicy), (CARTPOLE, CartPole(), CategoricalPolicy)],
    ids=["continuous", "discrete"],
)
def test_a_deterministic_rollout_takes_the_mode(event, environment, policy):
    sampler = PolicySampler(event, environment, policy).double()
    start = sampler.environment.reset(4, dtype=torch.float64)
    first, second = (sampler.rollout(4, deterministic=True, start=start) for _ in range(2))
    assert torch.equal(first.trajectory.actions, second.trajectory.actions)
    assert torch.equal(first.trajectory.observations[:, 0], start[1])
    mode = sampler.policy.mode(first.trajectory.observations[:, :-1], first.trajectory.time)
    chosen = first.trajectory.mask
    torch.testing.assert_close(first.trajectory.actions[chosen], mode[chosen])
    torch.testing.assert_close(first.log_q, sampler.step_log_prob(first.trajectory))
    random = sampler.rollout(4, start=start).trajectory
    assert torch.equal(random.observations[:, 0], start[1])
    assert not torch.equal(random.actions, first.trajectory.actions)


@pytest.mark.parametrize("length", [1, 4, 20, 80])
def test_segments_are_scored_as_the_whole(length):
    """Each at its own time of the episode."""
    sampler = PolicySampler(CARTPOLE, CartPole(), partial(CategoricalPolicy, sees_time=True)).double()
    with torch.no_grad():
        sampler.policy.network[-1].weight.mul_(300)
    trajectory, log_q = sampler.sample(9)
    assert trajectory.terminal.any()
    parts = sampler.log_prob(cut(trajectory, length))
    torch.testing.assert_close(parts.view(9, -1).sum(1), log_q)
    later = cut(trajectory, length)._replace(start=torch.zeros(9 * 80 // length, dtype=torch.long))
    assert length == 80 or not torch.allclose(sampler.log_prob(later), parts)


def test_true_rewards_are_those_of_the_steps():
    rollout = PolicySampler(PENDULUM, Pendulum(), ClippedGaussianPolicy).double().rollout(5)
    seen, done = rollout.trajectory.observations, rollout.trajectory.actions
    torch.testing.assert_close(rollout.rewards, Pendulum().reward(seen[:, :-1], done, seen[:, 1:]))


def test_the_state_is_the_policys_alone(tmp_path):
    first, second = (PolicySampler(PENDULUM, Pendulum(), ClippedGaussianPolicy) for _ in range(2))
    trajectory, log_q = first.sample(4)
    assert {key.split(".")[0] for key in first.state_dict()} == {"policy"}
    torch.save(first.state_dict(), tmp_path / "sampler.pt")
    second.load_state_dict(torch.load(tmp_path / "sampler.pt", weights_only=True))
    torch.testing.assert_close(second.log_prob(trajectory), log_q)


def test_nothing_is_made_on_another_device():
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    for event, environment, policy in (
        (PENDULUM, Pendulum(), ClippedGaussianPolicy),
        (CARTPOLE, CartPole(), CategoricalPolicy),
    ):
        sampler = PolicySampler(event, environment, policy)
        with torch.device("meta"):
            trajectory, log_q, rewards = sampler.rollout(3)
            values = [*trajectory, *cut(trajectory, 1), log_q, rewards, sampler.log_prob(trajectory)]
            values += [trajectory.time, trajectory.absorbed]
            if sampler.has_rsample:
                values.append(sampler.rsample(3)[1])
                values[-1].sum().backward()
        assert {value.device.type for value in values} == {"cpu"}


@pytest.mark.long
def test_nothing_waits_for_a_device():
    """On ``meta`` a value that is looked at is an error."""
    for event, environment, policy in (
        (PENDULUM, Pendulum(), ClippedGaussianPolicy),
        (CARTPOLE, CartPole(), CategoricalPolicy),
    ):
        sampler = PolicySampler(event, environment, policy).to("meta")
        trajectory, _ = sampler.sample(3)
        assert sampler.log_prob(cut(trajectory, 1)).device.type == "meta"


def test_what_is_no_trajectory_is_refused():
    with pytest.raises(TypeError, match="scores a Trajectory, not Tensor"):
        PolicySampler(PENDULUM, Pendulum(), ClippedGaussianPolicy).log_prob(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="makes trajectories, the data is of kind point"):
        PolicySampler(make_event("point", [2]), Pendulum(), ClippedGaussianPolicy)
    with pytest.raises(ValueError, match="base measure clipped, the event's is lebesgue"):
        PolicySampler(FREE, Pendulum(), ClippedGaussianPolicy)


@pytest.mark.parametrize(
    ("event", "environment", "words"),
    [
        (PENDULUM, CartPole(), "not from this environment"),
        (make_trajectory_event(5, [4], num_actions=3, absorbing=True), CartPole(), "num_actions"),
        (make_trajectory_event(5, [4], num_actions=2), CartPole(), "absorbing=true"),
        (make_trajectory_event(5, [3], action_shape=[2]), Pendulum(), r"action_shape is \[2\], .* has \[1\]"),
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
    torch.testing.assert_close(copy.log_prob(trajectory), log_q)
    assert not torch.allclose(sampler.log_prob(trajectory), log_q)
    assert copy.environment is sampler.environment
    assert not any(parameter.requires_grad for parameter in copy.parameters())
