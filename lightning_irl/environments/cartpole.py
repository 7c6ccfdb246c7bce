"""gymnasium's CartPole-v1, whole batches of episodes at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
MAX_POSITION, MAX_ANGLE = 2.4, 12 * 2 * math.pi / 360
MASS, LEVER = CART + POLE, POLE * HALF_LENGTH
UNIT = GRAVITY * MASS / LEVER


class CartPole(Environment):
    r"""Balance a pole on a cart by pushing left (0) or right (1): gymnasium's CartPole-v1 (Euler steps) to rounding.

    .. math::
        p = \frac{F + m l \dot\theta^2 \sin\theta}{M + m}, \quad
        \ddot\theta = \frac{g \sin\theta - p \cos\theta}{l\,(4/3 - m \cos^2\theta / (M + m))}, \quad
        \ddot x = p - \frac{m l}{M + m}\, \ddot\theta \cos\theta

    with g = 9.8, M = 1, m = 0.1, half the pole's length l = 0.5 m, F = -10 or 10 N, steps of 0.02 s. States and
    observations (B, 4) are the same: position (m), velocity (m/s), angle (rad) and angular velocity (rad/s). An episode
    ends when the cart is more than 2.4 m from the centre or the pole more than 12 degrees from upright; the reward is 1
    per step. There is no limit of 500 steps: the event sets the horizon.

    Example:
        >>> CartPole().step(torch.zeros(1, 4), torch.ones(1, dtype=torch.long)).observation
        tensor([[ 0.0000,  0.1951,  0.0000, -0.2927]])
    """

    observation_shape = (4,)
    num_actions = 2
    observation_low = (-2 * MAX_POSITION, -math.inf, -2 * MAX_ANGLE, -math.inf)
    observation_high = (2 * MAX_POSITION, math.inf, 2 * MAX_ANGLE, math.inf)
    gymnasium_id = "CartPole-v1"
    absorbing = True
    phase_labels = ("angle of the pole (rad)", "its velocity (rad/s)")

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Each coordinate uniform over [-0.05, 0.05]."""
        state = 0.1 * torch.rand(num, 4, dtype=dtype, device=device) - 0.05
        return state, state

    def step(self, state: Tensor, action: Tensor) -> Step:
        position, velocity, angle, turn = state.unbind(-1)
        cosine, sine = angle.cos(), angle.sin()
        # push in units of LEVER / MASS, swing in units of UNIT: most factors then are the alpha of a sum
        push = torch.add(turn * turn * sine, action.to(state.dtype) - 0.5, alpha=2 * FORCE / LEVER)
        swing = torch.addcmul(sine, cosine, push, value=-1 / UNIT) / (4 / 3 * MASS / POLE - cosine * cosine)
        pull = torch.addcmul(push, swing, cosine, value=-UNIT)
        position = torch.add(position, velocity, alpha=SECONDS)
        velocity = torch.add(velocity, pull, alpha=LEVER / MASS * SECONDS)
        angle = torch.add(angle, turn, alpha=SECONDS)
        turn = torch.add(turn, swing, alpha=UNIT * SECONDS)
        state = torch.stack([position, velocity, angle, turn], -1)
        has_left = position.clamp(-MAX_POSITION, MAX_POSITION) != position
        has_fallen = angle.clamp(-MAX_ANGLE, MAX_ANGLE) != angle
        return Step(state, state, torch.ones_like(position), has_left | has_fallen)

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return torch.ones_like(observation[..., 0])

    def phase(self, observation: Tensor) -> Tensor:
        return observation[..., 2:]

    def sketch(self, axes: Axes, observation: Tensor) -> bool:
        from matplotlib.patches import Rectangle

        position, _, angle, _ = observation.tolist()
        tip = 2 * HALF_LENGTH
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.add_patch(Rectangle((position - 0.3, -0.15), 0.6, 0.3, color="#1f4e79"))
        axes.plot(
            [position, position + tip * math.sin(angle)], [0, tip * math.cos(angle)], color="#b5460f", linewidth=4
        )
        axes.set(xlim=(-MAX_POSITION, MAX_POSITION), ylim=(-1, 1.6), aspect="equal")
        return True
