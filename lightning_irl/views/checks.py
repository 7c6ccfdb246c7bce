"""Checks before a view is trained or tested: the pair, the data, the strategy, and a checkpoint to be loaded.

They are the same from Python and from the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from lightning_irl.costs import TrajectoryCost
from lightning_irl.errors import UserError, shorten
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.space import space_of
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views.contracts import check_data
from lightning_irl.views.modules import evaluating

if TYPE_CHECKING:
    from lightning_irl.views.view import View

NEEDED = ("optimizer_states", "loops", "batches")  # to resume a run
MOST_DIFFERENCES = 4  # named in one message
OLD_NAMES = {"guided_cost.": "cost_objective.", "chains.": "cost_objective.chains."}  # prefixes in earlier checkpoints
_CHECKED: WeakSet[View] = WeakSet()  # views whose pair has been checked


def check_setup(view: View, trainer: Trainer) -> None:
    """Check strategy, data and pair when a run begins.

    Raises:
        UserError: naming what does not fit, and what to do.
    """
    check_strategy(trainer)
    check_data(view, trainer.datamodule)  # type: ignore[attr-defined]
    check_pair(view, may_act=False)


def check_strategy(trainer: Trainer) -> None:
    """Refuse a strategy that shards parameters.

    Raises:
        UserError: naming the strategy, and what to use.
    """
    strategy = trainer.strategy
    if isinstance(strategy, (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy)):
        raise UserError(
            f"strategy {type(strategy).__name__} shards parameters and gathers them in a module's forward, but a "
            "sampler draws and scores by other methods, and cost and sampler are trained in turn.\n"
            "Use --config trainer/ddp (or trainer/torchrun, trainer/slurm) after your config, in Python "
            "Trainer(strategy='ddp'): each process holds the whole pair"
        )


def check_pair(view: View, may_act: bool = True) -> None:
    """Draw two samples and check the shapes of samples, cost and log q.

    Done once per view. Parameters and random states are left unchanged.

    Args:
        view: whose pair is checked.
        may_act: whether a policy may act in its environment, for two episodes. If not, its actions at the start of an
            episode stand in for its draws, and the environment does not move.

    Raises:
        UserError: naming the cost or the sampler, what it returned and what it must return.
    """
    if view in _CHECKED or view.cost._compiled_call_impl is not None:
        return  # it would be compiled for two samples
    cost, sampler, expected = type(view.cost).__name__, type(view.sampler).__name__, list(view.event["shape"])
    devices = {parameter.device for parameter in view.parameters() if parameter.device.type == "cuda"}
    with evaluating(view), torch.random.fork_rng(devices=list(devices)):  # spectral norms move in training mode
        if may_act or not isinstance(view.sampler, PolicySampler):
            samples, log_q = view.sampler.sample(2)
        elif (first := first_observations(view.sampler, 2)) is None:
            return
        else:
            samples, log_q = standing_still(view.sampler, first.to(view.log_z))
        if space_of(view.event).has_steps and not isinstance(samples, Trajectory):
            raise UserError(f"sampler {sampler} draws tensors, the data is trajectories: use PolicySampler")
        if isinstance(samples, Tensor) and list(samples.shape) != [2, *expected]:
            raise UserError(
                f"sampler {sampler} draws samples of shape {list(samples.shape[1:])}, the data has {expected}: build "
                "it from the event that it is given"
            )
        try:
            value = view.cost(samples)
        except (RuntimeError, IndexError, TypeError, AttributeError) as error:
            if isinstance(samples, Trajectory) and not isinstance(view.cost, TrajectoryCost):
                raise UserError(f"cost {cost} cannot take trajectories; use TrajectoryCost with a step_cost") from error
            raise UserError(
                f"cost {cost} cannot take samples of the data's shape {expected}: {shorten(str(error))}"
            ) from error
    for name, scalars in {f"cost {cost}": value, f"log q of sampler {sampler}": log_q}.items():
        if scalars is not None and list(scalars.shape) != [2]:
            raise UserError(f"{name} has shape {list(scalars.shape)} for 2 samples; it must be [2], one scalar each")
    if log_q is None and view.sampler.has_density:
        raise UserError(f"sampler {sampler} says has_density, but its sample() gives no log q; return it, or say False")
    _CHECKED.add(view)


def first_observations(sampler: PolicySampler, num: int) -> Tensor | None:
    """One initial observation of the environment, repeated (num, *obs); the environment's state is left unchanged.

    None if the environment fails, as it then will in the first round.
    """
    try:
        start = sampler.environment.starts(1)
    except Exception:
        return None
    return start[:1].expand(num, *start.shape[1:])


def standing_still(sampler: PolicySampler, observation: Tensor) -> tuple[Trajectory, Tensor]:
    """Stand-ins for a policy's draws: trajectories in which every step is the first one.

    Args:
        sampler: whose policy chooses the actions.
        observation: (B, *obs).

    Returns:
        B trajectories, and log pi of one step of each (B,).
    """
    num, steps = len(observation), sampler.horizon
    start = torch.zeros(num, dtype=torch.long, device=observation.device)
    with torch.no_grad():
        action, log_q = sampler.policy.sample(observation, start)
    observations = observation[:, None].expand(num, steps + 1, *observation.shape[1:])
    actions = action[:, None].expand(num, steps, *action.shape[1:])
    mask = torch.ones(num, steps, dtype=torch.bool, device=observation.device)
    return Trajectory(observations, actions, mask, ~mask[:, 0], start), log_q


def with_new_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of an earlier version to this version's names."""
    found = dict(state)
    for old, new in OLD_NAMES.items():
        found = {new + key.removeprefix(old) if key.startswith(old) else key: one for key, one in found.items()}
    return found


def check_weights(state: Mapping[str, Any], view: View, whose: str) -> None:
    """Compare the weights of a checkpoint with the view that is to load them.

    Args:
        state: the checkpoint's ``state_dict``.
        view: the view that is to load it.
        whose: what messages call it, such as "checkpoint PATH".

    Raises:
        UserError: naming what differs in shape, or exists in only one of them.
    """
    state, mine = with_new_names(state), view.state_dict()
    differences = [
        f"{key}: {_shape(state.get(key))} there, {_shape(mine.get(key))} here"
        for key in [*mine, *(key for key in state if key not in mine)]
        if _shape(state.get(key)) != _shape(mine.get(key))
    ]
    if differences:
        more = len(differences) - MOST_DIFFERENCES
        named = differences[:MOST_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])
        raise UserError(
            f"{whose} is of another architecture than this config:\n  "
            + "\n  ".join(named)
            + "\nUse the config.yaml that lies in its run's folder, or change the sizes here"
        )


def check_resumable(checkpoint: Mapping[str, Any], view: View, whose: str) -> None:
    """Check whether a run can resume from a checkpoint.

    Args:
        checkpoint: as it was read.
        view: the view that is to resume.
        whose: what messages call it, such as "checkpoint PATH".

    Raises:
        UserError: if it holds only weights, belongs to another kind of view, or has another number of optimizers.
    """
    if lacking := [key for key in NEEDED if key not in checkpoint]:
        raise UserError(
            f"{whose} lacks {' and '.join(lacking)}, so a run cannot go on from it: weights alone are taken by "
            "--init_from, in Python by view.init_from"
        )
    kind = checkpoint.get("hyper_parameters", {}).get("_class_path", "").rsplit(".", 1)[-1]
    if kind and kind != type(view).__name__:
        raise UserError(
            f"{whose} is of the view {kind}, this config's is {type(view).__name__}: --ckpt_path resumes the same "
            "view; use --init_from to continue the pair in another one"
        )
    theirs, ours = len(checkpoint["optimizer_states"]), num_optimizers(view)
    if theirs != ours and has_usual_optimizers(view):
        raise UserError(
            f"{whose} has {theirs} optimizers, this config {ours}: sampler_steps or warm_start differs; use "
            "--init_from to continue with the pair alone"
        )


def num_optimizers(view: View) -> int:
    """Number of optimizers that a view steps; Lightning's ``global_step`` counts the steps of each."""
    return sum(bool(steps) for steps in (view.cost_steps, view.sampler_steps, view.warm_start))


def has_usual_optimizers(view: View) -> bool:
    """Whether the view's own ``configure_optimizers`` makes the optimizers, rather than a subclass's."""
    made_by: str = type(view).configure_optimizers.__module__
    return made_by.startswith(f"{__package__}.")


def check_loaded(checkpoint: Mapping[str, Any], view: Any) -> None:
    """Check a checkpoint that a trainer has read for a view; do nothing without a trainer."""
    trainer = view._trainer
    if trainer is None or not view.strict_loading:
        return
    whose = f"checkpoint {trainer.ckpt_path}" if trainer.ckpt_path else "the checkpoint"
    check_weights(checkpoint["state_dict"], view, whose)
    if trainer.state.fn == "fit":
        check_resumable(checkpoint, view, whose)


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else "absent"
