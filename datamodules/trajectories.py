"""Expert trajectories, from files or from memory."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Literal

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
    """Serves whole trajectories, padded to the horizon; segments and transitions are views that a level cuts from them.

    Observations and continuous actions are served in single precision, discrete actions as long. Which trajectories are
    trained on is decided before anything is learned from them: with ``num_demonstrations`` the first of the file,
    otherwise those that validation and test leave. These are drawn by the seed and never overlap with training.

    Args:
        source: path of an ``.npz``, HDF5, Parquet or Arrow file (see docs/trajectories.md), name of a file that ships,
            such as ``pendulum``, folder or id of a Minari data set, folder that ``imitation`` wrote, or
            :class:`~lightning_irl.datamodules.demonstrations.Demonstrations`.
        format: ``npz``, ``minari`` or ``huggingface``; ``auto`` looks at what is there.
        num_demonstrations: training demonstrations, the first of the file; by default all that validation and test
            leave.
        fractions: shares of validation and test among all trajectories, at least one each; (0, 0) holds nothing out,
            and all three are the training demonstrations, which measures no generalisation but is all that one
            trajectory allows.
        horizon: steps of an episode; by default the file's, or the longest trajectory's.
        absorbing: let episodes end early, in an absorbing state; without it all must be as long as the horizon.
        num_actions: number of discrete actions; by default the file's, or the environment's; without one a guess, the
            largest plus one.
        action_low: lower bound of each coordinate of a continuous action, which may be infinite; by default the file's,
            or the environment's. Demonstrated actions beyond a bound are clipped to it, as the environment did, and
            their share is said.
        action_high: upper bound.
        base_measure: ``counting``, ``clipped`` or ``lebesgue``; by default what fits the actions. Under ``lebesgue``
            actions on a bound are refused.
        normalise: learn location and scale of observations, on the training part.
        trust_terminal: believe a ``terminal`` at exactly the horizon; files often say it of every time limit.
        batch_size: demonstrations in a batch, over all processes; by default all training demonstrations.
        steps_per_epoch: batches in an epoch, rounds of IRL; by default one pass over the training part.
        seed: of the split and of the order.
        skip_invalid: leave out trajectories that would be refused (NaN, without a step, of another shape, cut short)
            and say how many and why; without it the first of them ends the run.

    Attributes:
        has_actions: whether actions were recorded; else they are NaN, discrete ones -1, and a view that needs them is
            refused.
        returns: true return of each trajectory of each part (N,), NaN where a reward is not known; None where none is.
        recorded_in: what the source says of the environment, such as its id; None where it says nothing.
        expert_return: mean return of all trajectories of the source whose rewards are known; NaN where none are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming file, trajectory and step where the source is not what it should be.

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
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        skip_invalid: bool = False,
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
        super().__init__(event, splits, len(parts[0]) if batch_size is None else batch_size, steps_per_epoch, seed)
        returns = None if demos.returns is None else torch.tensor(demos.returns, dtype=torch.float64)
        self.returns = None if returns is None else Splits(*(returns[part] for part in parts))
        self.expert_return = float("nan") if returns is None else float(returns.nanmean())
        self.name, self.has_actions = demos.name, demos.has_actions
        self.recorded_in: str | None = demos.metadata.get("environment")
        self.save_hyperparameters(ignore=[] if isinstance(source, str) else ["source"])

    def take_bounds(self, event: Event) -> None:
        """Clip actions to the bounds of an environment, where this data has none of its own; their share is said.

        Args:
            event: of the sampler, which has them from its environment.
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
