"""Expert trajectories, from files or from memory."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Literal

import torch

from lightning_irl.datamodules.demonstrations import Demonstrations
from lightning_irl.datamodules.importers import Format, read
from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.datamodules.preparation import (
    Actions,
    allowed_actions,
    apply_bounds,
    cut_short,
    moments,
    pad,
    say_what_single_loses,
    split,
)
from lightning_irl.spaces.event import Event, make_trajectory_event
from lightning_irl.spaces.samples import select
from lightning_irl.spaces.served import Splits


class TrajectoryDataModule(MemoryDataModule):
    """Serves whole trajectories, padded to the horizon; a view's ``level`` cuts them into segments or transitions.

    Observations and continuous actions are served in single precision, discrete actions as long. The split
    comes first: with ``num_demonstrations`` the first trajectories of the file are for training, otherwise those that
    validation and test leave. Validation and test are drawn by the seed and never overlap with training.

    Args:
        source: path of an ``.npz``, HDF5, Parquet or Arrow file (see docs/trajectories.md), name of a shipped file,
            such as ``pendulum``, folder or id of a Minari data set, folder that ``imitation`` wrote, or
            :class:`~lightning_irl.datamodules.demonstrations.Demonstrations`.
        format: ``npz``, ``minari`` or ``huggingface``; ``auto`` tells from the files.
        num_demonstrations: training demonstrations, the first of the file; by default all that validation and test
            leave.
        fractions: shares of validation and test among all trajectories, at least one each; (0, 0) holds nothing out,
            and all three are the training demonstrations, which measures no generalisation but is all that one
            trajectory allows.
        horizon: steps of an episode; by default the file's, or the longest trajectory's.
        absorbing: let episodes end early, in an absorbing state; otherwise all must be as long as the horizon.
        num_actions: number of discrete actions; by default the file's, or the environment's; if neither has one, the
            largest demonstrated plus one.
        action_low: lower bound of each coordinate of a continuous action, which may be infinite; by default the file's,
            or the environment's. Demonstrated actions beyond a bound are clipped to it, as the environment did, and
            their share is reported.
        action_high: upper bound.
        base_measure: ``counting``, ``clipped`` or ``lebesgue``; by default what fits the actions. ``lebesgue``
            refuses actions on a bound.
        normalise: learn location and scale of observations, on the training part.
        trust_terminal: believe a ``terminal`` at exactly the horizon; many files set it at every time limit.
        seed: of the split and of the order.
        skip_invalid: leave out trajectories that would be refused (NaN, without a step, of another shape, cut short)
            and say how many and why; without it the first of them ends the run.
        **options: of :class:`~lightning_irl.datamodules.MemoryDataModule`: ``batch_size`` and ``steps_per_epoch``.

    Attributes:
        has_actions: whether actions were recorded; if not, they are NaN, discrete ones -1, and views that need them
            refuse.
        returns: true return of each trajectory of each part (N,), NaN where a reward is not known; None where none is.
        recorded_in: what the source says about the environment, such as its id; None where it says nothing.
        expert_return: mean return of all trajectories of the source whose rewards are known; NaN where none are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the source is not valid; the message names file, trajectory and step.

    Example:
        >>> data = TrajectoryDataModule("pendulum", num_demonstrations=10)
        >>> next(iter(data.train_dataloader())).samples.actions.shape
        torch.Size([10, 200, 1])
    """

    def __init__(
        self,
        source: str | Demonstrations,
        format: Format = "auto",
        num_demonstrations: int | None = None,
        fractions: tuple[float, float] = (0.1, 0.1),
        horizon: int | None = None,
        absorbing: bool = False,
        num_actions: int | None = None,
        action_low: Sequence[float] | None = None,
        action_high: Sequence[float] | None = None,
        base_measure: Literal["counting", "clipped", "lebesgue"] | None = None,
        normalise: bool = True,
        trust_terminal: bool = False,
        seed: int = 0,
        skip_invalid: bool = False,
        **options: Any,
    ) -> None:
        demos = source if isinstance(source, Demonstrations) else read(source, format, skip_invalid)
        allowed = allowed_actions(demos, num_actions, action_low, action_high)
        steps = int(demos.metadata.get("horizon", max(demos.lengths))) if horizon is None else horizon
        if skip_invalid:
            demos = copy(demos)
            demos.leave_out(cut_short(demos, steps))
        say_what_single_loses(demos)
        parts = split(len(demos), num_demonstrations, fractions, seed, demos.name)
        whole = pad(demos, steps, absorbing, trust_terminal, allowed.num_actions > 0, len(allowed.low))
        whole = apply_bounds(demos.name, whole, allowed, base_measure)
        splits = Splits(*(select(whole, part) for part in parts))
        location, scale = moments(splits.train, demos.name) if normalise else ([0.0], [1.0])
        event = make_trajectory_event(
            steps,
            whole.observations.shape[2:],
            num_actions=allowed.num_actions,
            action_shape=whole.actions.shape[2:],
            action_low=allowed.low,
            action_high=allowed.high,
            base_measure=base_measure,
            absorbing=absorbing,
            observation_location=location,
            observation_scale=scale,
        )
        if guessed := [field for field in allowed.guessed if field == "num_actions" or base_measure is None]:
            event["guessed"] = guessed
        options = dict.fromkeys(("batch_size", "steps_per_epoch")) | options  # hyperparameters, given or not
        super().__init__(event, splits, seed=seed, **options)
        returns = None if demos.returns is None else torch.tensor(demos.returns, dtype=torch.float64)
        self.returns = None if returns is None else Splits(*(returns[part] for part in parts))
        self.expert_return = float("nan") if returns is None else float(returns.nanmean())
        self.name, self.has_actions = demos.name, demos.has_actions
        self.recorded_in: str | None = demos.metadata.get("environment")
        self.save_hyperparameters(ignore=[] if isinstance(source, str) else ["source"])

    def take_bounds(self, event: Event) -> None:
        """Clip actions to the bounds of an environment if this data has none, and report their share.

        Args:
            event: of the sampler, with the bounds of its environment.
        """
        bounds = {key: event[key] for key in ("action_low", "action_high", "base_measure")}
        if self.event["action_low"] or not event["action_low"]:
            return
        allowed = Actions(0, event["action_low"], event["action_high"])
        self.splits = Splits(
            *(
                apply_bounds(f"{self.name}, {name}", part, allowed, "clipped")
                for name, part in self.splits._asdict().items()
            )
        )
        self.event = {**self.event, **bounds}
