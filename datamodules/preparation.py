"""From demonstrations as they were recorded to trajectories as they are served."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_irl.datamodules.demonstrations import Demonstrations
from lightning_irl.datamodules.number_checks import what_single_loses
from lightning_irl.spaces.trajectory import Trajectory

MOST_LOOKED_AT, MOST_ROWS = 100, 20_000  # trajectories and steps that are checked for precision
SMALLEST_SPREAD = 1e-6  # relative to the mean: below it a coordinate is constant up to single precision
# as it is, and relative to the largest spread of a coordinate: below both, a coordinate is constant but for noise
SMALL_SPREAD = 1e-3
MOST_NAMED = 5  # coordinates in a line
NO_SPREAD = 1e-10  # as it is: below it a coordinate is constant, whatever the others are


class Actions(NamedTuple):
    """Which actions are allowed.

    Attributes:
        num_actions: number of discrete ones, 0 for continuous.
        low: lower bounds (flattened), empty where there are none.
        high: upper bounds.
        guessed: what neither the file nor the user gave: ``num_actions``, taken from the largest demonstrated action,
            or ``action_bounds``, of which there are none.
    """

    num_actions: int
    low: list[float]
    high: list[float]
    guessed: tuple[str, ...] = ()


def allowed_actions(
    demos: Demonstrations,
    num_actions: int | None,
    action_low: Sequence[float] | None,
    action_high: Sequence[float] | None,
) -> Actions:
    """Which actions are allowed: as given, else as the file says, else as many as were demonstrated, unbounded.

    Raises:
        ValueError: if actions or bounds do not have the right shape, or a discrete action is not one of those allowed.
    """
    first, given = demos.actions[0], demos.metadata
    number = num_actions or int(given.get("num_actions", 0))
    if number and not demos.has_actions:
        return Actions(number, [], [])
    if number or first.dtype.kind != "f":
        if action_low or action_high:
            raise ValueError(
                f"{demos.name}: actions are discrete, of type {first.dtype}, and have no bounds; "
                "leave out action_low and action_high, or store continuous actions as floats"
            )
        return Actions(_check_discrete(demos, number), [], [], () if number else ("num_actions",))
    if first.ndim == 1:
        raise ValueError(
            f"{demos.name}: actions are of type {first.dtype} and shape [T]; continuous ones have shape [T, d], "
            "discrete ones are integers, or num_actions says so"
        )
    low, high = (
        [float(value) for value in np.ravel(given.get(f"action_{edge}", []) if bound is None else bound)]
        for edge, bound in (("low", action_low), ("high", action_high))
    )
    size = math.prod(first.shape[1:]) if demos.has_actions else max(len(low), len(high))
    if not size:
        raise ValueError(
            f"{demos.name} holds states alone; say which actions the environment takes: "
            "num_actions, or action_low and action_high, one number per coordinate (or, with actions, add them as acts)"
        )
    if (low or high) and not len(low) == len(high) == size:
        raise ValueError(
            f"{demos.name}: action_low has {len(low)} values and action_high {len(high)}; an action has {size}"
        )
    if np.isnan(low + high).any():
        raise ValueError(f"{demos.name}: action_low is {low} and action_high {high}; a bound is a number, or infinite")
    _note_one_hot(demos)
    if not low:
        return Actions(0, [], [], ("action_bounds",))
    if np.isinf(low + high).all():
        return Actions(0, [], [])
    return Actions(0, low, high)


def _note_one_hot(demos: Demonstrations) -> None:
    """Warn of continuous actions that look like discrete ones."""
    every = np.concatenate([np.asarray(actions).reshape(len(actions), -1) for actions in demos.actions])
    is_one_hot = every.shape[1] > 1 and np.isin(every, (0, 1)).all() and (every.sum(1) == 1).all()
    if is_one_hot and len(np.unique(every, axis=0)) > 1:
        rank_zero_warn(
            f"{demos.name}: every action is a vector of {every.shape[1]} numbers, one of them 1 and the others 0, "
            "and is taken for a continuous one; if actions are discrete, store the integers: actions.argmax(-1)"
        )


def _check_discrete(demos: Demonstrations, num_actions: int) -> int:
    first = demos.actions[0]
    if first.ndim != 1:
        raise ValueError(f"{demos.name}: discrete actions of shape {list(first.shape[1:])}; each must be one integer")
    number = num_actions or max(2, 1 + max(int(actions.max()) for actions in demos.actions))
    for index, actions in enumerate(demos.actions):
        bad = (actions < 0) | (actions >= number) | (actions != actions.round())
        if bad.any():
            step = int(bad.argmax())
            raise ValueError(
                f"{demos.name}, trajectory {index}, step {step}: action {actions[step]} is not one of 0 to {number - 1}"
            )
    return number


def pad(
    demos: Demonstrations,
    horizon: int,
    absorbing: bool,
    trust_terminal: bool,
    is_discrete: bool = False,
    num_coordinates: int = 0,
) -> Trajectory:
    """All trajectories as one batch of ``horizon`` steps, padded after an early end.

    Padding repeats the last observation, with actions of zero. Integers of 8 bits are images and are served in [0, 1].
    Actions that are not known are NaN, discrete ones -1, so that nothing learns from them unnoticed.

    Args:
        demos: N trajectories.
        horizon: steps.
        absorbing: whether an episode may end early.
        trust_terminal: whether to believe a ``terminal`` at exactly the horizon.
        is_discrete: whether actions are discrete.
        num_coordinates: of a continuous action, where actions are not known.

    Raises:
        ValueError: if a trajectory is longer than the horizon, shorter without an absorbing state, or was cut short.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}; it must be at least 1")
    _check_lengths(demos, horizon, absorbing)
    number, first = len(demos), demos.observations[0]
    if first.ndim == 1:
        raise ValueError(
            f"{demos.name}: observations have shape [T + 1]; they need one more dimension: "
            "[T + 1, d], with one-hot vectors for discrete states"
        )
    shade = np.float32(255 if first.dtype == np.uint8 else 1)
    observations = np.empty((number, horizon + 1, *first.shape[1:]), dtype=np.float32)
    shape = demos.actions[0].shape[1:] if demos.has_actions else (num_coordinates,) * (not is_discrete)
    actions = np.zeros((number, horizon, *shape), dtype=np.int64 if is_discrete else np.float32)
    if not demos.has_actions:
        actions[:] = -1 if is_discrete else np.nan
    for index, (seen, done) in enumerate(zip(demos.observations, demos.actions, strict=True)):
        observations[index, : len(seen)] = seen / shade
        observations[index, len(seen) :] = observations[index, len(seen) - 1]
        if demos.has_actions:
            actions[index, : len(done)] = done
    steps = torch.tensor(demos.lengths)
    ended = steps < horizon
    if trust_terminal and demos.terminal is not None:
        ended |= torch.tensor([flag is True for flag in demos.terminal])
    return Trajectory(
        torch.from_numpy(observations),
        torch.from_numpy(actions),
        torch.arange(horizon) < steps[:, None],
        ended,
        torch.zeros(number, dtype=torch.long),
    )


def say_what_single_loses(demos: Demonstrations) -> None:
    """Warn where single precision, in which policies observe and act, cannot tell recorded numbers apart."""
    for what, parts in (("observations", demos.observations), ("actions", demos.actions)):
        if parts[0].dtype not in (np.float64, np.int64, np.uint64, np.int32, np.uint32) or not parts[0][0].size:
            continue
        rows = np.concatenate([part.reshape(len(part), -1) for part in parts[:MOST_LOOKED_AT]])[:MOST_ROWS]
        if (lost := what_single_loses(rows)) is not None:
            rank_zero_warn(
                f"{demos.name}: {what} are served in single precision, which loses detail: {lost}. "
                "Subtract what is common to all, in the demonstrations and in the environment alike"
            )


def _check_lengths(demos: Demonstrations, horizon: int, absorbing: bool) -> None:
    for index, length in enumerate(demos.lengths):
        where = f"{demos.name}, trajectory {index}: {length} steps"
        if length > horizon:
            raise ValueError(
                f"{where}, more than the horizon of {horizon}; "
                f"raise the horizon to {max(demos.lengths)} or cut the trajectories"
            )
        if length < horizon and not absorbing:
            raise ValueError(
                f"{where}, less than the horizon of {horizon}. "
                "Where lengths vary, demonstrations can be told by their length alone: "
                "set absorbing=true if the environment can end an episode, or cut all to one length and set horizon"
            )
    for index, reason in cut_short(demos, horizon).items():
        raise ValueError(
            f"{demos.name}, trajectory {index}: {reason}. Leave it out (skip_invalid=true does), "
            "or cut all to one length and set horizon"
        )


def cut_short(demos: Demonstrations, horizon: int) -> dict[int, str]:
    """Trajectories that neither last until the horizon nor were ended by the environment, with the reason."""
    return {
        index: f"{length} steps, less than the horizon of {horizon}, but terminal says that the environment did not "
        "end it: it was cut short"
        for index, length in enumerate(demos.lengths)
        if length < horizon and demos.terminal is not None and demos.terminal[index] is False
    }


def apply_bounds(name: str, trajectory: Trajectory, bounds: Actions, base_measure: str | None) -> Trajectory:
    """Clip actions to the bounds, as the environment did, and say how many were on or beyond them.

    Raises:
        ValueError: if actions lie on or beyond a bound and the base measure has no atoms there.
    """
    if not bounds.low:
        return trajectory
    shape = trajectory.actions.shape[2:]
    low, high = (torch.tensor(edge).reshape(shape) for edge in (bounds.low, bounds.high))
    raw = trajectory.actions
    beyond = ((raw < low) | (raw > high)).flatten(2).any(2) & trajectory.mask
    reached = ((raw <= low) | (raw >= high)).flatten(2).any(2) & trajectory.mask
    total = int(trajectory.mask.sum())
    if base_measure == "lebesgue" and reached.any():
        index, step = reached.nonzero()[0].tolist()
        raise ValueError(
            f"{name}, trajectory {index}, step {step}: action {raw[index, step].tolist()}; {int(reached.sum())} of "
            f"{total} actions lie on or beyond the bounds, where a density has no atom: set base_measure=clipped"
        )
    if beyond.any():
        rank_zero_info(
            f"{name}: {int(beyond.sum())} of {total} actions ({beyond.sum() / total:.1%}) are beyond the bounds and "
            f"are clipped to them, as applied; with these {reached.sum() / total:.1%} are on a bound"
        )
    return trajectory._replace(actions=torch.minimum(torch.maximum(raw, low), high))


def split(
    number: int, num_demonstrations: int | None, fractions: tuple[float, float], seed: int, name: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Trajectories of training, validation and test.

    They are disjoint; but with shares of 0 nothing is held out, and all three are the training demonstrations.

    Raises:
        ValueError: if there are not enough.
    """
    nothing_held_out = tuple(fractions) == (0, 0)
    if not nothing_held_out and (min(fractions) <= 0 or sum(fractions) >= 1):
        raise ValueError(
            f"fractions are {tuple(fractions)}; validation and test need a share above 0 and leave some to train; "
            "(0, 0) serves the training demonstrations in all three"
        )
    if not nothing_held_out and number < 3:
        raise ValueError(
            f"{name} has {number} trajector{'y' if number == 1 else 'ies'}; training, "
            "validation and test need one each, so at least 3; or set fractions=[0, 0] to serve the same in all three"
        )
    most = number if nothing_held_out else number - 2
    if num_demonstrations is not None and not 1 <= num_demonstrations <= most:
        kept = "" if nothing_held_out else ", two of which are kept for validation and test"
        raise ValueError(
            f"num_demonstrations is {num_demonstrations}, but {name} has {number} trajectories{kept}; "
            f"it must be between 1 and {most}"
        )
    if nothing_held_out:
        rank_zero_info(f"{name}: nothing is held out; validation and test are the training demonstrations")
        train = torch.arange(num_demonstrations or number)
        return train, train, train
    val, test = (max(1, int(fraction * number)) for fraction in fractions)
    val = min(val, number - 2)
    test = min(test, number - 1 - val)
    generator = torch.Generator().manual_seed(seed)
    if num_demonstrations is None:
        order = torch.randperm(number, generator=generator)
        return order[val + test :].sort().values, order[:val], order[val : val + test]
    held_out = num_demonstrations + torch.randperm(number - num_demonstrations, generator=generator)
    val = min(val, len(held_out) // 2)
    return torch.arange(num_demonstrations), held_out[:val], held_out[val : val + test]


def moments(trajectory: Trajectory, name: str = "demonstrations") -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the observations before each action, per coordinate, or one for all pixels.

    A coordinate that never changes has a scale of 1. So has one that hardly changes, which is reported: its noise is
    not blown up to the size of what tells states apart, since a policy that moves that coordinate would leave what a
    network has seen.
    """
    seen = trajectory.observations[:, :-1][trajectory.mask].flatten(1).double()
    if trajectory.observations.ndim == 5:  # (B, T + 1, C, H, W)
        seen = seen.reshape(-1, 1)
    mean, scale = seen.mean(0), seen.std(0) if len(seen) > 1 else torch.zeros(seen.shape[1])
    varies = scale > SMALLEST_SPREAD * mean.abs()
    is_small = (scale < SMALL_SPREAD) & (scale < SMALL_SPREAD * scale.max()) | (scale < NO_SPREAD)
    if said := (varies & is_small).nonzero().flatten().tolist():
        more = f" and {len(said) - MOST_NAMED} more" if len(said) > MOST_NAMED else ""
        rank_zero_info(
            f"{name}: coordinate {', '.join(map(str, said[:MOST_NAMED]))}{more} of the observations hardly changes "
            f"(standard deviation {float(scale[said].max()):.1g} at most, of others up to {float(scale.max()):.2g}) "
            "and is taken for constant: its scale is 1. If it matters, store it in a smaller unit"
        )
    return mean.tolist(), torch.where(varies & ~is_small, scale, 1.0).tolist()
