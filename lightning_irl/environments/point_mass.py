"""The point-mass maze of the AIRL paper, whole batches of episodes at a time."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step

# distance in metres of mass and wall in contact; in this unit the maze's coordinates are integers
SIZE = 0.05
TARGET, START = (6.0, 10.0), (6.0, 0.0)
LOW, HIGH = -1.0, 11.0  # of the mass, in both coordinates
BARRIER_HEIGHT, BARRIERS = 6.0, {"left": (4.0, 12.0), "right": (-2.0, 8.0), "both": (4.0, 8.0)}
SUBSTEPS, SECONDS = 5, 0.01  # seconds of a substep
MASS, DAMPING = 1000 * 4 / 3 * math.pi * 0.03**3, 1.0  # kg, N s/m
KEPT = MASS / (MASS + SECONDS * DAMPING)  # factor on the velocity, each substep
SHIFT = SECONDS**2 / (MASS + SECONDS * DAMPING) / SIZE  # displacement by a force of 1 N, each substep
CONTROL_COST = 0.001


class PointMassMaze(Environment):
    r"""Push a mass around a barrier to a target: a test of rewards in a changed environment (Fu et al. 2018).

    .. code-block:: text

        0.55 +-----------------+   The mass can be from -0.05 to 0.55 in both coordinates (m), 0.05 away from the
             |        x        |   barrier's line at height 0.3. It starts at (0.3, 0); its target x is at (0.3, 0.5).
             |     ============|   The line goes from 0.2 to the right wall (gap "left"), from the left wall to 0.4
             |                 |   (gap "right"), or from 0.2 to 0.4 (gap "both"). The way around is equally long on
       -0.05 +--------o--------+   both sides; a policy that only goes left is worthless when the gap is right.

    One step is 5 substeps of 0.01 s of :math:`m \dot v = u - d v` (implicit in v), m = 0.113 kg, d = 1 N s/m, u clipped
    to [-1, 1] N: at most 1.42 m/s, so that the 0.014 m of a substep cannot pass a barrier 0.1 m thick. Contacts are
    frictionless and inelastic: a mass that would enter a wall is put on its surface, and its velocity follows from
    its actual displacement. The reward is :math:`-|x - x^*| - 0.001 |u|^2` of the state before the step.
    Differentiable in the action, also along walls.

    As in the original (github.com/justinjfu/inverse_rl, in MuJoCo; its PointMazeRight has the barrier on the right, so
    the gap left): geometry, mass, damping, forces, time step, start, reward, and 100 steps if the event's horizon is
    100. Different: contacts are rigid, where MuJoCo's are soft and keep 3 mm more distance (MuJoCo 4.0; free motion is
    the same to rounding); the reward uses the clipped force; observations (B, 4) are position (m) and velocity (m/s),
    so that the process is Markov. The original observes the position alone (and a constant zero):
    ``observes_velocity=False`` gives that (B, 2); the velocity, then hidden, decays within 0.11 s, two steps. Returns
    over 100 steps are near -4.7 at best (a steered mass), -45 for random forces, and -25 to -32 for going straight
    ahead or to where the gap was.

    Args:
        gap: side on which the barrier is open: ``left`` (the paper's training), ``right`` (its test) or ``both``.
        observes_velocity: whether observations hold the velocity.

    Raises:
        ValueError: if ``gap`` is not one of these.

    Source: Fu, Luo and Levine 2018, Learning robust rewards with adversarial inverse reinforcement learning (arXiv
        1710.11248), section 7.1.

    Example:
        >>> environment = PointMassMaze(gap="right")
        >>> state, observation = environment.reset(1)
        >>> environment.step(state, torch.zeros(1, 2)).reward
        tensor([-0.5000])
    """

    action_shape = (2,)
    action_low = (-1.0, -1.0)
    action_high = (1.0, 1.0)
    is_differentiable = True
    phase_labels = ("x (m)", "y (m)")

    barrier: Tensor
    walls: Tensor
    origin: Tensor
    units: Tensor

    def __init__(self, gap: Literal["left", "right", "both"] = "left", observes_velocity: bool = True) -> None:
        super().__init__()
        if gap not in BARRIERS:
            raise ValueError(f"gap is {gap!r}; allowed: {', '.join(BARRIERS)}")
        self.gap, self.observes_velocity = gap, observes_velocity
        self.observation_shape = (4 if observes_velocity else 2,)
        free = [math.inf] * (self.observation_shape[0] - 2)
        self.observation_low, self.observation_high = [LOW * SIZE] * 2 + [-x for x in free], [HIGH * SIZE] * 2 + free
        target = torch.tensor(TARGET)[:, None]
        constants = {  # integers, so that they are exact in float32 too
            "barrier": torch.tensor([BARRIERS[gap], (BARRIER_HEIGHT, BARRIER_HEIGHT)]).T[..., None] - target,
            "walls": torch.tensor([LOW, HIGH])[:, None, None] - target,
            "origin": torch.cat([target, torch.zeros(2, 1)]),
            "units": torch.tensor([1, 1, 1 / SECONDS, 1 / SECONDS])[:, None],
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Start at (0.3, 0) m, each coordinate of the velocity uniform over [-0.01, 0.01] m/s."""
        velocity = 0.02 * torch.rand(2, num, dtype=dtype, device=device) - 0.01
        position = torch.empty_like(velocity)
        position[0], position[1] = START[0] - TARGET[0], START[1] - TARGET[1]
        state = position, velocity * (SECONDS / SIZE)
        return state, self.observe(*state)

    def observe(self, position: Tensor, motion: Tensor) -> Tensor:
        """Observations (B, 4), or (B, 2) without the velocity.

        Args:
            position: (2, B) from the target, in units of 0.05 m.
            motion: (2, B) of the last substep, in units of 0.05 m.
        """
        if not self.observes_velocity:
            return ((position + self.origin[:2]) * SIZE).T
        return (torch.addcmul(self.origin, torch.cat([position, motion]), self.units) * SIZE).T

    def step(self, state: tuple[Tensor, Tensor], action: Tensor) -> Step:
        position, motion = state
        force = action.T.clamp(-1, 1).contiguous()
        reward = _reward(torch.hypot(*position.unbind()) * SIZE, *force.unbind())
        push = force * SHIFT
        (first, last), (low, high) = self.barrier, self.walls
        for _ in range(SUBSTEPS):
            before = position
            position = before + torch.add(push, motion, alpha=KEPT)
            nearest = torch.clamp(position, first, last)  # of the barrier's line
            away = position - nearest
            # out to distance 1 where nearer; the upper bound is for a state on the line itself, which cannot be reached
            scale = torch.hypot(*away.unbind()).reciprocal().clamp(1, 1e6)
            position = torch.addcmul(nearest, away, scale).clamp(low, high)
            motion = position - before
        never = reward.new_zeros(reward.shape, dtype=torch.bool)
        return Step((position, motion), self.observe(position, motion), reward, never)

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        x, y = observation[..., 0] - TARGET[0] * SIZE, observation[..., 1] - TARGET[1] * SIZE
        return _reward(torch.hypot(x, y), *action.clamp(-1, 1).unbind(-1))


def _reward(distance: Tensor, x_force: Tensor, y_force: Tensor) -> Tensor:
    effort = torch.addcmul(x_force * x_force, y_force, y_force)
    return -torch.add(distance, effort, alpha=CONTROL_COST)
