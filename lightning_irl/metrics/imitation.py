"""Whether imitation worked: with the true reward, and without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.spaces.samples import each, select
from lightning_irl.spaces.trajectory import Trajectory, cut

RewardFunction = Callable[[Trajectory], Tensor]  # transitions (B segments of one step) to rewards (B,)


def normalised_return(value: float, random: float, expert: float) -> float:
    """How far a return is from the random policy's (0) to the expert's (1); NaN where the expert's is not above the
    random one's.

    Example:
        >>> normalised_return(-100.0, -200.0, -50.0)
        0.6666666666666666
    """
    return (value - random) / (expert - random) if expert > random else math.nan


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of two vectors (N,), a scalar; 0 where one is constant."""
    first, second = first.double() - first.double().mean(), second.double() - second.double().mean()
    scale = first.norm() * second.norm()
    return torch.where(scale > 0, (first @ second) / scale.clamp(min=torch.finfo(torch.float64).tiny), 0.0)


def epic_distance(
    first: RewardFunction, second: RewardFunction, transitions: Trajectory, discount: float = 1.0, num: int = 64
) -> Tensor:
    r"""EPIC distance (Gleave et al. 2021, arXiv 2006.13900): that of rewards up to shaping, shift and scale.

    Rewards are brought to a canonical form by :math:`R(s,a,s') + E[\gamma R(s',A,S') - R(s,A,S') - \gamma R(S,A,S')]`
    with (S, A, S') from the given transitions, then compared by :math:`\sqrt{(1 - \rho)/2}` with Pearson's correlation.

    Args:
        first: a reward.
        second: another.
        transitions: N segments of one step, the coverage distribution.
        discount: gamma of the shaping.
        num: of the transitions to compare at, and to average over.

    Returns:
        A scalar between 0 (the same) and 1 (opposite).
    """
    size = len(transitions.mask)
    at, over = torch.randint(size, (2, num), device=transitions.mask.device)
    canonical = [_canonical(reward, transitions, at, over, discount) for reward in (first, second)]
    return ((1 - correlation(*canonical)) / 2).clamp(min=0).sqrt()


def _canonical(reward: RewardFunction, transitions: Trajectory, at: Tensor, over: Tensor, discount: float) -> Tensor:
    here, states = (select(transitions, index) for index in (at, over))
    num = len(at)

    def from_states(observation: Tensor) -> Tensor:
        """E[R(s, A, S')] of each state (num, *obs)."""
        repeated = each(lambda part: part.repeat(len(observation), *[1] * (part.ndim - 1)), states)
        repeated.observations[:, 0] = observation.repeat_interleave(num, 0)
        return reward(repeated).view(len(observation), num).double().mean(1)

    shift = from_states(here.observations[:, 1]) * discount - from_states(here.observations[:, 0])
    return reward(here).double() + shift - discount * from_states(states.observations[:, 0]).mean()


def trajectory_features(trajectory: Trajectory, num_actions: int, has_actions: bool = True) -> Tensor:
    """Means over each trajectory's steps of observations, their squares and, where known, of actions (and squares); (B,
    K).
    """
    kept = trajectory.mask[..., None]
    observations = trajectory.observations[:, :-1].flatten(2)
    if not has_actions:
        actions = observations[..., :0]
    elif num_actions:
        actions = torch.nn.functional.one_hot(trajectory.actions, num_actions).to(observations.dtype)
    else:
        flat = trajectory.actions.flatten(2)
        actions = torch.cat([flat, flat.square()], -1)
    values = torch.cat([observations, observations.square(), actions], -1) * kept
    means = values.sum(1) / kept.sum(1).clamp(min=1)
    return torch.cat([means, trajectory.mask.float().mean(1, keepdim=True)], 1)  # the share of the horizon survived


class FeatureGap(NamedTuple):
    """How far a policy's trajectories are from demonstrations.

    Attributes:
        gap: largest difference of a feature's mean, in standard deviations of that feature over all trajectories.
        noise: the size that chance alone explains with so few demonstrations: twice the standard error, in the same
            unit.
        name: of that feature.
    """

    gap: float
    noise: float
    name: str


def feature_gap(
    demonstrations: Trajectory, samples: Trajectory, num_actions: int, has_actions: bool = True
) -> FeatureGap:
    """Compare the features of :func:`trajectory_features`."""
    theirs, ours = (trajectory_features(side, num_actions, has_actions).double() for side in (demonstrations, samples))
    spread = torch.cat([theirs, ours]).std(0)
    gaps = torch.where(spread > 1e-6, (ours.mean(0) - theirs.mean(0)).abs() / spread.clamp(min=1e-6), 0.0)
    largest = int(gaps.argmax())
    noise = 2 * (1 / len(theirs) + 1 / len(ours)) ** 0.5
    return FeatureGap(float(gaps[largest]), noise, _feature_names(samples, num_actions, has_actions)[largest])


def _feature_names(trajectory: Trajectory, num_actions: int, has_actions: bool) -> list[str]:
    seen = [f"observation {index}" for index in range(trajectory.observations[0, 0].numel())]
    number = (num_actions or trajectory.actions[0, 0].numel()) if has_actions else 0
    done = [f"action {index}" for index in range(number)]
    squares = [] if num_actions else [f"{name} squared" for name in done]
    return [*seen, *(f"{name} squared" for name in seen), *done, *squares, "the share of the horizon survived"]


def transitions_of(trajectory: Trajectory) -> Trajectory:
    """The steps in which an action was chosen, as segments of one step."""
    steps = cut(trajectory, 1)
    return select(steps, steps.mask[:, 0])


def visitation_distance(first: Tensor, second: Tensor, cells: int = 12) -> Tensor:
    """Total variation distance between two sets of states in a plane, over the cells of a grid: 0 if equal, 1 for
    none in common.

    Args:
        first: coordinates (N, 2).
        second: coordinates (M, 2).
        cells: of the grid, along either coordinate; it spans both sets.

    Returns:
        A scalar between 0 and 1. Few states differ by chance: the shares of n states in k cells by about sqrt(k / n).

    Example:
        >>> corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> visitation_distance(corners, corners[:1]).item()
        0.5
    """
    both = torch.cat([first, second]).double()
    low, high = both.amin(0), both.amax(0)
    places = ((both - low) / (high - low).clamp(min=1e-12) * cells).long().clamp(max=cells - 1)
    index = places[:, 0] * cells + places[:, 1]
    counts = torch.zeros(2, cells**2, dtype=torch.float64, device=both.device)
    for side, part in enumerate(index.split([len(first), len(second)])):
        counts[side].scatter_add_(0, part, torch.ones_like(part, dtype=torch.float64))
    shares = counts / counts.sum(1, keepdim=True)
    return (shares[0] - shares[1]).abs().sum() / 2
