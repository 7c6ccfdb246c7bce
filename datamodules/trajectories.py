"""Expert trajectories, from files or from memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_irl.datamodules.demonstrations import Demonstrations, read_npz
from lightning_irl.datamodules.memory import MemoryDataModule, Splits
from lightning_irl.errors import did_you_mean
from lightning_irl.event import make_trajectory_event
from lightning_irl.samples import select
from lightning_irl.trajectory import Trajectory

SHIPPED = Path(__file__).parent / "experts"
log = logging.getLogger(__name__)


class TrajectoryDataModule(MemoryDataModule):
    """Serves whole trajectories, padded to the horizon; segments and transitions are views that a level cuts from them.

    Args:
        source: path of an ``.npz`` file (see docs/trajectories.md), name of a file that ships, such as ``pendulum``, or
            :class:`~lightning_irl.datamodules.demonstrations.Demonstrations`.
        num_demonstrations: training demonstrations, the first of the file; by default all that validation and test leave.
        fractions: shares of validation and test among all trajectories, chosen by the seed from those not trained on.
        horizon: steps of an episode; by default the file's, or the longest trajectory's.
        absorbing: let episodes end early, in an absorbing state; without it all must be as long as the horizon.
        num_actions: number of discrete actions; by default the file's, or the largest plus one.
        action_low: lower bound of each coordinate of a continuous action; by default the file's. Demonstrated actions beyond a
            bound are clipped to it, as the environment did.
        action_high: upper bound.
        base_measure: ``counting``, ``clipped`` or ``lebesgue``; by default what fits the actions.
        normalise: learn location and scale of observations, on the training part.
        trust_terminal: believe a ``terminal`` at exactly the horizon; files often say it of every time limit.
        batch_size: demonstrations in a batch, over all processes; by default all training demonstrations.
        steps_per_epoch: batches in an epoch; by default one pass over the training part.
        seed: of the split and of the order.

    Attributes:
        expert_return: mean return of all trajectories of the source; NaN where rewards are not known.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file, trajectory and step where the source is not what it should be.
    """

    def __init__(
        self,
        source: str | Demonstrations,
        num_demonstrations: int | None = None,
        fractions: tuple[float, float] = (0.1, 0.1),
        horizon: int | None = None,
        absorbing: bool = False,
        num_actions: int | None = None,
        action_low: Sequence[float] | None = None,
        action_high: Sequence[float] | None = None,
        base_measure: str | None = None,
        normalise: bool = True,
        trust_terminal: bool = False,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        demos = source if isinstance(source, Demonstrations) else read_npz(find(source))
        given = demos.metadata
        horizon = horizon or int(given.get("horizon", max(demos.lengths)))
        trajectory = pad(demos, horizon, absorbing, trust_terminal)
        low = list(given.get("action_low", ()) if action_low is None else action_low)
        high = list(given.get("action_high", ()) if action_high is None else action_high)
        discrete = not trajectory.actions.is_floating_point()
        if discrete:
            num_actions = check_discrete(demos, num_actions or int(given.get("num_actions", 0)))
            low = high = []
        elif low:
            trajectory = clip(demos, trajectory, low, high, base_measure)
        parts = split(len(demos), num_demonstrations, fractions, seed, demos.name)
        train = select(trajectory, parts[0])
        assert isinstance(train, Trajectory)
        location, scale = moments(train) if normalise else ([0.0], [1.0])
        event = make_trajectory_event(
            horizon,
            trajectory.observations.shape[2:],
            num_actions=num_actions or 0,
            action_shape=trajectory.actions.shape[2:],
            action_low=low,
            action_high=high,
            base_measure=base_measure,
            absorbing=absorbing,
            observation_location=location,
            observation_scale=scale,
        )
        returns = demos.returns
        self.expert_return = float(np.mean(returns)) if returns else float("nan")
        splits = Splits(train, select(trajectory, parts[1]), select(trajectory, parts[2]))
        super().__init__(event, splits, batch_size or len(parts[0]), steps_per_epoch, seed)


def find(source: str) -> Path:
    """Path of a file, or of one that ships under that name.

    Raises:
        FileNotFoundError: naming the nearest ones.
    """
    for path in (Path(source), SHIPPED / f"{source}.npz"):
        if path.is_file():
            return path
    names = [path.stem for path in SHIPPED.glob("*.npz")]
    raise FileNotFoundError(f"no demonstrations {source}, neither a file nor a name; {did_you_mean(source, names)}")


def pad(demos: Demonstrations, horizon: int, absorbing: bool, trust_terminal: bool) -> Trajectory:
    """All trajectories as one batch of ``horizon`` steps; after an early end the last observation repeats and actions are zero.

    Raises:
        ValueError: if a trajectory is longer, or shorter without an absorbing state.
    """
    lengths = demos.lengths
    for index, length in enumerate(lengths):
        if length > horizon:
            raise ValueError(f"{demos.name}, trajectory {index}: {length} steps, more than the horizon of {horizon}")
        if length < horizon and not absorbing:
            raise ValueError(
                f"{demos.name}, trajectory {index}: {length} steps, less than the horizon of {horizon}. Lengths that vary tell "
                "demonstrations by their length: set absorbing=true if the environment can end an episode, or cut all to one "
                "length and set horizon"
            )
    number, first = len(demos), demos.observations[0]
    is_image = first.dtype == np.uint8
    observations = np.empty((number, horizon + 1, *first.shape[1:]), dtype=np.float32)
    kind = np.int64 if np.issubdtype(demos.actions[0].dtype, np.integer) else np.float32
    actions = np.zeros((number, horizon, *demos.actions[0].shape[1:]), dtype=kind)
    for index, (seen, done) in enumerate(zip(demos.observations, demos.actions, strict=True)):
        for what, values, space in (("observations", seen, observations), ("actions", done, actions)):
            if values.shape[1:] != space.shape[2:]:
                raise ValueError(
                    f"{demos.name}, trajectory {index}: {what} of shape {list(values.shape[1:])}, trajectory 0 has "
                    f"{list(space.shape[2:])}"
                )
        observations[index, : len(seen)] = seen / np.float32(255) if is_image else seen
        observations[index, len(seen) :] = observations[index, len(seen) - 1]
        actions[index, : len(done)] = done
    steps = torch.tensor(lengths)
    ended = steps < horizon
    if trust_terminal and demos.terminal is not None:
        ended |= torch.tensor(demos.terminal)
    return Trajectory(
        torch.from_numpy(observations),
        torch.from_numpy(actions),
        torch.arange(horizon) < steps[:, None],
        ended,
        torch.zeros(number, dtype=torch.long),
    )


def check_discrete(demos: Demonstrations, num_actions: int) -> int:
    """The number of discrete actions.

    Raises:
        ValueError: naming trajectory and step, if an action is not one of them.
    """
    number = num_actions or 1 + max(int(actions.max()) for actions in demos.actions)
    for index, actions in enumerate(demos.actions):
        bad = (actions < 0) | (actions >= number)
        if actions.ndim != 1 or bad.any():
            step = int(bad.argmax()) if actions.ndim == 1 else 0
            raise ValueError(
                f"{demos.name}, trajectory {index}, step {step}: action {actions[step]} is none of 0 to {number - 1}"
            )
    return max(number, 2)


def clip(
    demos: Demonstrations, trajectory: Trajectory, low: list[float], high: list[float], base_measure: str | None
) -> Trajectory:
    """Actions as applied: clipped to the bounds.

    Raises:
        ValueError: if actions lie on or beyond a bound and the base measure has no atoms there.
    """
    size = trajectory.actions[0, 0].numel()
    if not len(low) == len(high) == size:
        raise ValueError(f"action_low has {len(low)} values and action_high {len(high)}; an action has {size}")
    edges = (torch.tensor(edge).reshape(trajectory.actions.shape[2:]) for edge in (low, high))
    applied = torch.minimum(torch.maximum(trajectory.actions, next(edges)), next(edges))
    outside = ((applied != trajectory.actions).flatten(2).any(2) & trajectory.mask).sum()
    bounds = torch.tensor([low, high]).reshape(2, 1, 1, *trajectory.actions.shape[2:])
    at_bound = ((applied == bounds).any(0).flatten(2).any(2) & trajectory.mask).sum()
    total = int(trajectory.mask.sum())
    if base_measure == "lebesgue" and at_bound:
        raise ValueError(
            f"{demos.name}: {int(at_bound)} of {total} actions lie on or beyond the bounds, where a density has no atom; "
            "set base_measure=clipped"
        )
    if outside:
        log.info(
            "%s: %d of %d actions were beyond the bounds and are clipped, as applied", demos.name, int(outside), total
        )
    return trajectory._replace(actions=applied)


def split(
    number: int, num_demonstrations: int | None, fractions: tuple[float, float], seed: int, name: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Trajectories of training, validation and test, disjoint.

    Raises:
        ValueError: if there are not enough.
    """
    if min(fractions) <= 0 or sum(fractions) >= 1:
        raise ValueError(f"fractions are {fractions}; validation and test need a share above 0 and leave some to train")
    val, test = (max(1, int(fraction * number)) for fraction in fractions)
    if number < 3:
        raise ValueError(
            f"{name} has {number} trajectories; training, validation and test need one each, so at least 3"
        )
    if num_demonstrations is not None and not 1 <= num_demonstrations <= number - 2:
        raise ValueError(
            f"num_demonstrations is {num_demonstrations}, but {name} has {number} trajectories, two of which are kept for "
            f"validation and test; it must be between 1 and {number - 2}"
        )
    generator = torch.Generator().manual_seed(seed)
    if num_demonstrations is None:
        order = torch.randperm(number, generator=generator)
        return order[val + test :].sort().values, order[:val], order[val : val + test]
    held_out = num_demonstrations + torch.randperm(number - num_demonstrations, generator=generator)
    val = min(val, len(held_out) // 2)
    return torch.arange(num_demonstrations), held_out[:val], held_out[val : val + test]


def moments(trajectory: Trajectory) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each coordinate of the observations acted on; 1 for those that never change."""
    seen = trajectory.observations[:, :-1][trajectory.mask].flatten(1).double()
    scale = seen.std(0) if len(seen) > 1 else torch.ones(seen.shape[1])
    return seen.mean(0).tolist(), torch.where(scale > 1e-8, scale, 1.0).tolist()
