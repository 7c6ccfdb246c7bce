"""gymnasium's Pendulum-v1, whole batches of episodes at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRAVITY, LENGTH, MASS, SECONDS = 10.0, 1.0, 1.0, 0.05
MAX_TORQUE, MAX_VELOCITY = 2.0, 8.0


class Pendulum(Environment):
    r"""Swing up and balance a pendulum: gymnasium's Pendulum-v1 to rounding.

    .. math:: v' = v + (\tfrac{3 g}{2 l} \sin\theta + \tfrac{3}{m l^2} u)\,dt, \quad \theta' = \theta + v' dt

    with g = 10, m = l = 1, dt = 0.05 s, u clipped to [-2, 2] Nm, v to [-8, 8] rad/s. Observations are
    :math:`(\cos\theta, \sin\theta, v)`; the reward is :math:`-(\theta^2 + 0.1 v^2 + 0.001 u^2)`, with the angle in
    :math:`[-\pi, \pi]` and both from the state before the step. Differentiable in the action. A state is the tuple of
    angle (rad) and velocity (rad/s), both (B,).

    Example:
        >>> upright = torch.zeros(1), torch.zeros(1)
        >>> Pendulum().step(upright, torch.tensor([[1.0]])).observation
        tensor([[1.0000, 0.0075, 0.1500]])
    """

    observation_shape = (3,)
    action_shape = (1,)
    action_low = (-MAX_TORQUE,)
    action_high = (MAX_TORQUE,)
    observation_low = (-1.0, -1.0, -MAX_VELOCITY)
    observation_high = (1.0, 1.0, MAX_VELOCITY)
    gymnasium_id = "Pendulum-v1"
    is_differentiable = True
    phase_labels = ("angle from upright (rad)", "velocity (rad/s)")

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Angles uniform over the circle, velocities uniform over [-1, 1] rad/s."""
        unit = 2 * torch.rand(2, num, dtype=dtype, device=device) - 1
        state = math.pi * unit[0], unit[1]
        return state, self.observe(*state)

    @staticmethod
    def observe(angle: Tensor, velocity: Tensor) -> Tensor:
        """Observations (B, 3) of states."""
        return torch.stack([angle.cos(), angle.sin(), velocity], -1)

    def step(self, state: tuple[Tensor, Tensor], action: Tensor) -> Step:
        angle, velocity = state
        torque = action.squeeze(-1).clamp(-MAX_TORQUE, MAX_TORQUE)
        sine = angle.sin()
        reward = _reward(torch.atan2(sine, angle.cos()), velocity, torque)
        velocity = torch.add(velocity, sine, alpha=1.5 * GRAVITY / LENGTH * SECONDS)
        velocity = torch.add(velocity, torque, alpha=3 / (MASS * LENGTH**2) * SECONDS)
        velocity = velocity.clamp(-MAX_VELOCITY, MAX_VELOCITY)
        angle = torch.add(angle, velocity, alpha=SECONDS)
        never = angle.new_zeros(angle.shape, dtype=torch.bool)
        return Step((angle, velocity), self.observe(angle, velocity), reward, never)

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        angle = torch.atan2(observation[..., 1], observation[..., 0])
        return _reward(angle, observation[..., 2], action.squeeze(-1).clamp(-MAX_TORQUE, MAX_TORQUE))

    def phase(self, observation: Tensor) -> Tensor:
        return torch.stack([torch.atan2(observation[..., 1], observation[..., 0]), observation[..., 2]], -1)

    def sketch(self, axes: Axes, observation: Tensor) -> bool:
        cosine, sine, _ = observation.tolist()
        axes.plot([0, -sine], [0, cosine], color="#b5460f", linewidth=5, solid_capstyle="round")
        axes.plot(0, 0, "o", color="black", markersize=4)
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
        return True


def _reward(angle: Tensor, velocity: Tensor, torque: Tensor) -> Tensor:
    """Reward for an angle in [-pi, pi]; in few calls, since calls, not arithmetic, dominate 200 steps of a batch."""
    cost = torch.addcmul(angle * angle, velocity, velocity, value=0.1)
    return -torch.addcmul(cost, torque, torque, value=0.001)
