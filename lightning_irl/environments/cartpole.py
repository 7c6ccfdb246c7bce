"""gymnasium's CartPole-v1, whole batches of episodes at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
MAX_POSITION, MAX_ANGLE = 2.4, 12 * 2 * math.pi / 360


class CartPole(Environment):
    """Balance a pole on a cart by pushing left (0) or right (1), by gymnasium's CartPole-v1 (Euler steps) to rounding.

    Observations are position (m), velocity, angle (rad) and angular velocity; the episode ends when the cart leaves 2.4 m or the
    pole 12 degrees; the reward is 1 a step.
    """

    observation_shape = (4,)
    num_actions = 2
    absorbing = True

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Each coordinate uniform over [-0.05, 0.05]."""
        state = 0.1 * torch.rand(num, 4, dtype=dtype, device=device) - 0.05
        return state, state

    def step(self, state: Tensor, action: Tensor) -> Step:
        position, velocity, angle, turn = state.unbind(-1)
        force = FORCE * (2 * action - 1).to(state.dtype)
        cosine, sine = angle.cos(), angle.sin()
        push = (force + POLE * HALF_LENGTH * turn.square() * sine) / (CART + POLE)
        swing = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4 / 3 - POLE * cosine.square() / (CART + POLE)))
        pull = push - POLE * HALF_LENGTH / (CART + POLE) * swing * cosine
        change = torch.stack([velocity, pull, turn, swing], -1)
        state = torch.add(state, change, alpha=SECONDS)
        terminal = (state[..., 0].abs() > MAX_POSITION) | (state[..., 2].abs() > MAX_ANGLE)
        return Step(state, state, torch.ones_like(position), terminal)

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return torch.ones_like(observation[..., 0])
