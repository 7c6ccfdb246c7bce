"""Trajectories in batches of one length, and their views: segments and transitions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.spaces.samples import Finiteness, Samples


class Trajectory(NamedTuple):
    """A batch of trajectories or segments, all of T steps.

    An episode that its environment ended early stays in an absorbing state until step T. There the mask is False, no
    action is chosen (log pi = 0), observations and actions have arbitrary finite values, and a step costs one learned
    scalar.

    Attributes:
        observations: (B, T + 1, *obs), the one after the last action included.
        actions: (B, T, *act) as applied; long where they are discrete.
        mask: (B, T) bool, True on the steps in which an action was chosen.
        terminal: (B,) bool, whether the environment ended the episode in this stretch or before it.
        start: (B,) long, the episode's step of the first observation.
    """

    observations: Tensor
    actions: Tensor
    mask: Tensor
    terminal: Tensor
    start: Tensor

    @property
    def num_steps(self) -> int:
        """T."""
        return self.mask.shape[1]

    @property
    def time(self) -> Tensor:
        """The episode's step of each action (B, T), long."""
        return self.start[:, None] + torch.arange(self.num_steps, device=self.start.device)

    @property
    def absorbed(self) -> Tensor:
        """Steps spent in the absorbing state (B, T), bool."""
        return ~self.mask & self.terminal[:, None]

    def finiteness(self) -> Finiteness:
        """Whether the observations are finite, and the first episode and step of one that is not."""
        is_bad = ~torch.isfinite(self.observations).flatten(2).all(-1)
        first = is_bad.flatten().long().argmax()
        place = torch.stack([first // is_bad.shape[1], first % is_bad.shape[1]])
        return Finiteness(torch.where(is_bad, torch.nan, 0.0), place)


def as_trajectory(samples: Samples, user: str) -> Trajectory:
    """The samples, which must be trajectories or segments.

    Args:
        samples: of any type.
        user: what needs them, with its verb, for the message: ``PolicySampler scores``.

    Raises:
        TypeError: naming the user and what it was given.
    """
    if not isinstance(samples, Trajectory):
        raise TypeError(f"{user} a Trajectory, not {type(samples).__name__}")
    return samples


def cut(trajectory: Trajectory, length: int) -> Trajectory:
    """Cut trajectories into segments, each trajectory's one after another; ``length`` 1 gives transitions.

    Args:
        trajectory: B trajectories of T steps.
        length: steps of a segment.

    Returns:
        B * T / length segments.

    Raises:
        ValueError: if T is not a multiple of ``length``.

    Example:
        >>> whole = Trajectory(torch.zeros(2, 7, 3), torch.zeros(2, 6, 1), torch.ones(2, 6, dtype=torch.bool),
        ...                    torch.zeros(2, dtype=torch.bool), torch.zeros(2, dtype=torch.long))
        >>> cut(whole, 2).observations.shape
        torch.Size([6, 3, 3])
    """
    batch, steps = trajectory.mask.shape
    if length < 1 or steps % length:
        raise ValueError(f"segments of {length} steps do not divide {steps} steps; choose a divisor of the horizon")
    count = steps // length
    observations = trajectory.observations.unfold(1, length + 1, length).movedim(-1, 2)
    mask = trajectory.mask.reshape(batch, count, length)
    ends = (~trajectory.mask).sum(1)[:, None]  # steps after the end
    left = steps - length * (1 + torch.arange(count, device=mask.device))  # steps after each segment
    terminal = trajectory.terminal[:, None] & (ends >= left)
    start = trajectory.start[:, None] + length * torch.arange(count, device=mask.device)
    return Trajectory(
        observations.reshape(batch * count, length + 1, *observations.shape[3:]),
        trajectory.actions.reshape(batch * count, length, *trajectory.actions.shape[2:]),
        mask.reshape(batch * count, length),
        terminal.reshape(-1),
        start.reshape(-1),
    )
