"""Batched environments against gymnasium's own, step by step."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from scipy.stats import kstest

from lightning_irl.environments import CartPole, Pendulum
from lightning_irl.spaces.event import make_trajectory_event

STEPS = 200
IDS = ["float32", "float64"]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=IDS)
EXACT, ROUNDED = 1e-12, 2e-5  # the latter: a few ulp of the largest number in play, the angular acceleration times dt


def gym_step(environment, state, action):
    """One step of gymnasium's environment from a given state: the next state in float64, reward and end."""
    environment.reset(seed=0)
    environment.unwrapped.state = state.double().numpy().copy()
    observation, reward, terminal, _, _ = environment.step(action)
    return torch.as_tensor(environment.unwrapped.state), torch.as_tensor(observation), float(reward), bool(terminal)


@DTYPES
def test_pendulum_steps_as_gymnasium_does(dtype):
    """From velocities beyond the limit and by torques beyond the bounds too."""
    theirs, ours = gymnasium.make("Pendulum-v1"), Pendulum()
    velocity = (16 * torch.rand(STEPS) - 8) * torch.tensor([1.0, 1.2]).repeat(STEPS // 2)
    states = torch.stack([8 * torch.randn(STEPS), velocity], -1).to(dtype)
    actions = (3 * torch.randn(STEPS, 1)).to(dtype)
    step = ours.step(tuple(states.unbind(-1)), actions)
    tolerance = EXACT if dtype == torch.float64 else ROUNDED
    for index in range(STEPS):
        state, observation, reward, _ = gym_step(theirs, states[index], actions[index].double().numpy())
        assert torch.allclose(torch.stack(step.state, -1)[index].double(), state, rtol=0, atol=tolerance)
        assert torch.allclose(step.observation[index].float(), observation, rtol=0, atol=ROUNDED)
        # the reward is discontinuous nowhere but its slope in the angle is 2 pi
        assert step.reward[index].item() == pytest.approx(reward, abs=10 * tolerance)
    assert not step.terminal.any()
    assert (step.state[1].abs() == 8).any()
    assert (actions.abs() > 2).any()


@pytest.mark.parametrize("seed", [3, 4])
def test_a_whole_pendulum_episode_is_gymnasiums(seed):
    theirs, ours = gymnasium.make("Pendulum-v1"), Pendulum()
    theirs.reset(seed=seed)
    state = tuple(torch.tensor([value]).double() for value in theirs.unwrapped.state)
    for _ in range(STEPS):
        action = 6 * torch.rand(1, 1).double() - 3
        step = ours.step(state, action)
        _, reward, _, _, _ = theirs.step(action[0].numpy())
        state = step.state
        assert step.reward.item() == pytest.approx(float(reward), abs=EXACT, rel=EXACT)
        # up to 1e-12 of what an angle that went round and round is worth
        assert [float(value) for value in state] == pytest.approx(theirs.unwrapped.state.tolist(), abs=EXACT, rel=EXACT)


@DTYPES
def test_cartpole_steps_as_gymnasium_does(dtype):
    theirs, ours = gymnasium.make("CartPole-v1"), CartPole()
    states = (torch.randn(STEPS, 4) * torch.tensor([1.5, 1.0, 0.12, 1.0])).to(dtype)
    actions = torch.randint(2, (STEPS,))
    step = ours.step(states, actions)
    ended = 0
    for index in range(STEPS):
        state, observation, reward, terminal = gym_step(theirs, states[index], int(actions[index]))
        tolerance = EXACT if dtype == torch.float64 else ROUNDED
        assert torch.allclose(step.observation[index].double(), state, rtol=0, atol=tolerance)
        assert torch.allclose(step.observation[index].float(), observation, rtol=0, atol=ROUNDED)
        assert bool(step.terminal[index]) == terminal
        assert step.reward[index].item() == reward
        ended += terminal
    assert 20 < ended < 180  # both answers were seen


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_cartpole_episode_is_gymnasiums(seed):
    """Pushed under the pole as it leans, until it falls. A difference grows by 1.08 a step, for the upright pole falls
    at a rate of sqrt(9.8 / (0.5 (4/3 - 1/11))) = 4 a second: from rounding to 1e-12 in 80 steps."""
    theirs, ours = gymnasium.make("CartPole-v1").unwrapped, CartPole()
    theirs.reset(seed=seed)
    state, steps, terminal = torch.as_tensor(theirs.state)[None], 0, False
    while not terminal:
        lean = state[0, 2] + 0.2 * state[0, 3] + (0.2 + steps / 500) * torch.randn(())
        action = int(lean > 0)
        step = ours.step(state, torch.tensor([action]))
        _, reward, terminal, _, _ = theirs.step(action)
        state, steps = step.state, steps + 1
        assert step.reward.item() == reward
        assert bool(step.terminal) == terminal
        assert state[0].tolist() == pytest.approx(theirs.state.tolist(), abs=2e-15 * 1.08**steps, rel=0)
    assert 15 < steps < 200


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_cartpole_ends_just_beyond_either_bound(index, sign):
    """The cart at 2.4 m, the pole at 12 degrees, on both sides: a bound itself is still inside, as in gymnasium."""
    bound = {0: 2.4, 2: 12 * 2 * math.pi / 360}[index]
    states = torch.zeros(3, 4, dtype=torch.float64)  # at rest, so that this step keeps position and angle
    states[:, index] = sign * bound * (1 + torch.tensor([-1e-9, 0.0, 1e-9], dtype=torch.float64))
    step = CartPole().step(states, torch.zeros(3, dtype=torch.long))
    theirs = [gym_step(gymnasium.make("CartPole-v1"), state, 0)[3] for state in states]
    assert step.terminal.tolist() == theirs == [False, False, True]


def is_uniform(values, low, high):
    """Kolmogorov-Smirnov; failed by chance with probability 1e-4 at a fixed seed."""
    assert low <= values.min()
    assert values.max() <= high
    return kstest(values.double().numpy(), "uniform", args=(low, high - low)).pvalue > 1e-4


@DTYPES
def test_episodes_start_where_gymnasiums_do(dtype):
    """Uniformly, coordinates apart: the correlation of 4000 is within 4 / sqrt(4000) of zero."""
    (angle, velocity), observation = Pendulum().reset(4000, dtype=dtype)
    assert is_uniform(angle, -math.pi - 1e-6, math.pi + 1e-6)
    assert is_uniform(velocity, -1.0, 1.0)
    assert torch.allclose(observation, torch.stack([angle.cos(), angle.sin(), velocity], -1))
    start, seen = CartPole().reset(4000, dtype=dtype)
    assert torch.equal(start, seen)
    assert all(is_uniform(coordinate, -0.05 - 1e-8, 0.05 + 1e-8) for coordinate in start.unbind(-1))
    both = torch.cat([torch.stack([angle, velocity], -1), start], -1)
    apart = torch.corrcoef(both.T) - torch.eye(6, dtype=dtype)
    assert apart.abs().max() < 4 / math.sqrt(4000)


def test_gymnasiums_own_starts_lie_in_the_same_ranges():
    for name, ranges in (("Pendulum-v1", [math.pi, 1.0]), ("CartPole-v1", [0.05] * 4)):
        theirs = gymnasium.make(name)
        states = []
        for seed in range(300):
            theirs.reset(seed=seed)
            states.append(np.array(theirs.unwrapped.state))
        for values, limit in zip(torch.as_tensor(np.stack(states)).T, ranges, strict=True):
            assert is_uniform(values, -limit, limit)


@pytest.mark.parametrize("environment", [Pendulum(), CartPole()], ids=["pendulum", "cartpole"])
@DTYPES
def test_the_reward_of_given_steps_is_that_of_the_step(environment, dtype):
    """Whatever the leading dimensions, after many turns of the pendulum, and by actions that are clipped."""
    state, observation = environment.reset(50, dtype=dtype)
    if isinstance(environment, Pendulum):
        state = state[0] + 2 * math.pi * torch.arange(-2, 3).repeat(10), 7 * state[1]
        observation = environment.observe(*state)
    action = torch.randint(2, (50,)) if environment.num_actions else 6 * torch.rand(50, 1, dtype=dtype) - 3
    step = environment.step(state, action)
    assert step.observation.dtype == step.reward.dtype == dtype
    tolerance = (
        1e-11 if dtype == torch.float64 else 1e-4
    )  # 5 turns and the square of an angle: 16 ulp of 4 pi, times 2 pi
    found = environment.reward(observation, action, step.observation)
    assert torch.allclose(found, step.reward, rtol=0, atol=tolerance)
    parts = [part.view(5, 10, *part.shape[1:]) for part in (observation, action, step.observation)]
    assert torch.equal(environment.reward(*parts).flatten(), found)


def test_the_pendulum_can_be_differentiated_through():
    state, _ = Pendulum().reset(3, dtype=torch.float64)
    action = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    step = Pendulum().step(state, action)
    (gradient,) = torch.autograd.grad(step.observation[:, 2].sum(), action)
    assert torch.allclose(gradient, torch.full_like(gradient, 0.15))


@pytest.mark.parametrize("environment", [Pendulum(), CartPole()], ids=["pendulum", "cartpole"])
def test_nothing_is_made_on_another_device(environment):
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    action = torch.zeros(4, dtype=torch.long) if environment.num_actions else torch.zeros(4, 1)
    with torch.device("meta"):
        state, observation = environment.reset(4, device="cpu")
        step = environment.step(state, action)
        reward = environment.reward(observation, action, step.observation)
    for value in (observation, step.observation, step.reward, step.terminal, reward):
        assert value.device.type == "cpu"


@pytest.mark.parametrize("environment", [Pendulum(), CartPole()], ids=["pendulum", "cartpole"])
def test_nothing_waits_for_a_device(environment):
    """On ``meta`` a value that is looked at is an error."""
    state, observation = environment.to("meta").reset(4, device="meta")
    action = torch.zeros(4, dtype=torch.long) if environment.num_actions else torch.zeros(4, 1)
    step = environment.step(state, action.to("meta"))
    environment.reward(observation, action.to("meta"), step.observation)


def test_what_an_environment_says_of_itself_is_gymnasiums():
    for name, ours in (("Pendulum-v1", Pendulum()), ("CartPole-v1", CartPole())):
        theirs = gymnasium.make(name)
        assert tuple(ours.observation_shape) == theirs.observation_space.shape
        if ours.num_actions:
            assert ours.num_actions == theirs.action_space.n
        else:
            assert tuple(ours.action_shape) == theirs.action_space.shape
            assert list(ours.action_low) == theirs.action_space.low.tolist()
            assert list(ours.action_high) == theirs.action_space.high.tolist()


@pytest.mark.parametrize(
    ("environment", "event", "words"),
    [
        (
            Pendulum(),
            {"observation_shape": [4], "action_shape": [1]},
            r"observation_shape is \[4\], .* Pendulum has \[3\]",
        ),
        (Pendulum(), {"observation_shape": [3], "action_shape": [2]}, r"action_shape is \[2\], .* Pendulum has \[1\]"),
        (Pendulum(), {"observation_shape": [3], "num_actions": 2}, "num_actions is 2, environment Pendulum has 0"),
        (CartPole(), {"observation_shape": [4], "num_actions": 3, "absorbing": True}, "num_actions is 3, .* has 2"),
        (CartPole(), {"observation_shape": [4], "num_actions": 2}, "can end episodes early, .* set absorbing=true"),
    ],
)
def test_another_environments_event_is_refused(environment, event, words):
    with pytest.raises(ValueError, match=words):
        environment.check(make_trajectory_event(9, **event))


def test_events_that_fit_are_not_refused():
    Pendulum().check(make_trajectory_event(9, [3], action_shape=[1]))
    Pendulum().check(make_trajectory_event(9, [3], action_shape=[1], absorbing=True))
    CartPole().check(make_trajectory_event(9, [4], num_actions=2, absorbing=True))
