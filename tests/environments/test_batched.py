"""Batched environments against gymnasium's own, step by step."""

import math

import gymnasium
import pytest
import torch

from lightning_irl.environments import CartPole, Pendulum

STEPS = 200


def gym_step(environment, state, action):
    """One step of gymnasium's environment from a given state."""
    environment.reset(seed=0)
    environment.unwrapped.state = state.numpy().copy()
    observation, reward, terminal, _, _ = environment.step(action)
    return torch.as_tensor(observation), float(reward), bool(terminal)


def test_pendulum_steps_as_gymnasium_does():
    theirs, ours = gymnasium.make("Pendulum-v1"), Pendulum()
    states = torch.stack([8 * torch.randn(STEPS).double(), 6 * torch.randn(STEPS).double().clamp(-1.3, 1.3)], -1)
    actions = 3 * torch.randn(STEPS, 1).double()
    step = ours.step(tuple(states.unbind(-1)), actions)
    for index in range(STEPS):
        observation, reward, _ = gym_step(theirs, states[index], actions[index].numpy())
        assert torch.allclose(step.observation[index].float(), observation, atol=1e-6)
        assert step.reward[index].item() == pytest.approx(reward, abs=1e-9)
    assert not step.terminal.any()


def test_a_whole_pendulum_episode_is_gymnasiums():
    theirs, ours = gymnasium.make("Pendulum-v1"), Pendulum()
    theirs.reset(seed=3)
    state = tuple(torch.tensor([value]).double() for value in theirs.unwrapped.state)
    for _ in range(STEPS):
        action = 2 * torch.rand(1, 1).double() - 1
        step = ours.step(state, action)
        _, reward, _, _, _ = theirs.step(action[0].numpy())
        state = step.state
        assert step.reward.item() == pytest.approx(float(reward), abs=1e-9)
    assert [float(value) for value in state] == pytest.approx(theirs.unwrapped.state.tolist(), abs=1e-9)


def test_cartpole_steps_as_gymnasium_does():
    theirs, ours = gymnasium.make("CartPole-v1"), CartPole()
    states = torch.randn(STEPS, 4).double() * torch.tensor([1.5, 1.0, 0.12, 1.0]).double()
    actions = torch.randint(2, (STEPS,))
    step = ours.step(states, actions)
    ended = 0
    for index in range(STEPS):
        observation, _, terminal = gym_step(theirs, states[index], int(actions[index]))
        assert torch.allclose(step.observation[index].float(), observation, atol=1e-6)
        assert bool(step.terminal[index]) == terminal
        ended += terminal
    assert 20 < ended < 180  # both answers were seen


def test_episodes_start_where_gymnasiums_do():
    (angle, velocity), observation = Pendulum().reset(4000)
    assert math.pi * 0.99 < angle.abs().max() <= math.pi
    assert 0.99 < velocity.abs().max() <= 1
    assert torch.allclose(observation[:, 0], angle.cos())
    start, _ = CartPole().reset(4000)
    assert 0.0495 < start.abs().max() <= 0.05
    assert start.mean().abs() < 4 * 0.1 / math.sqrt(12 * 16000)


@pytest.mark.parametrize("environment", [Pendulum(), CartPole()], ids=["pendulum", "cartpole"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_reward_of_given_steps_is_that_of_the_step(environment, dtype):
    state, observation = environment.reset(50, dtype=dtype)
    action = torch.randint(2, (50,)) if environment.num_actions else 4 * torch.rand(50, 1, dtype=dtype) - 2
    step = environment.step(state, action)
    assert step.observation.dtype == dtype
    assert torch.allclose(environment.reward(observation, action, step.observation), step.reward, atol=1e-5)


def test_the_pendulum_can_be_differentiated_through():
    state, _ = Pendulum().reset(3, dtype=torch.float64)
    action = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    step = Pendulum().step(state, action)
    (gradient,) = torch.autograd.grad(step.observation[:, 2].sum(), action)
    assert torch.allclose(gradient, torch.full_like(gradient, 0.15))
