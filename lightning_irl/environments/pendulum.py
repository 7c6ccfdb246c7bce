"""gymnasium's Pendulum-v1, whole batches of episodes at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step


class Pendulum(Environment):
    r"""Swing up and hold a pendulum, by gymnasium's Pendulum-v1 to rounding.

    .. math:: v' = v + (\tfrac{3 g}{2 l} \sin\theta + \tfrac{3}{m l^2} u)\,dt, \quad \theta' = \theta + v' dt

    with g = 10, m = l = 1, dt = 0.05 s, u clipped to [-2, 2] Nm, v to [-8, 8] rad/s. Observations are
    :math:`(\cos\theta, \sin\theta, v)`, the reward :math:`-(\theta^2 + 0.1 v^2 + 0.001 u^2)` with the angle in
    :math:`[-\pi, \pi)`, both of the state before the step. Differentiable in the action.
    """

    observation_shape = (3,)
    action_shape = (1,)
    action_low = (-2.0,)
    action_high = (2.0,)
    is_differentiable = True

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Angle uniform over the circle, velocity over [-1, 1] rad/s."""
        unit = 2 * torch.rand(2, num, dtype=dtype, device=device) - 1
        state = math.pi * unit[0], unit[1]
        return state, self.observe(*state)

    @staticmethod
    def observe(angle: Tensor, velocity: Tensor) -> Tensor:
        """Observations (B, 3) of states."""
        return torch.stack([angle.cos(), angle.sin(), velocity], -1)

    def step(self, state: tuple[Tensor, Tensor], action: Tensor) -> Step:
        angle, velocity = state
        torque = action.squeeze(-1).clamp(-2, 2)
        wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        reward = -(wrapped.square() + 0.1 * velocity.square() + 0.001 * torque.square())
        velocity = (velocity + (15 * angle.sin() + 3 * torque) * 0.05).clamp(-8, 8)
        angle = angle + velocity * 0.05
        never = torch.zeros(len(angle), dtype=torch.bool, device=angle.device)
        return Step((angle, velocity), self.observe(angle, velocity), reward, never)

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        angle = torch.atan2(observation[..., 1], observation[..., 0])
        torque = action.squeeze(-1).clamp(-2, 2)
        return -(angle.square() + 0.1 * observation[..., 2].square() + 0.001 * torque.square())
