"""What can be known to be wrong before training starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from lightning_irl.costs import TrajectoryCost
from lightning_irl.errors import UserError, shorten
from lightning_irl.spaces.space import space_of
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import View
from lightning_irl.views.view import evaluating, read_checkpoint

NEEDED = ("optimizer_states", "loops", "batches")  # by a run that goes on
MOST_DIFFERENCES = 4  # that are worth naming


def check_trainer_config(config: Namespace) -> None:
    """Refuse what Lightning refuses with several optimizers, and say what to use."""
    for field, default, ours in (
        ("gradient_clip_val", None, "model.clip_norm"),
        ("gradient_clip_algorithm", None, "model.clip_norm"),
        ("accumulate_grad_batches", 1, "model.accumulate"),
    ):
        if config[field] not in (None, default):
            raise UserError(
                f"trainer.{field} is {config[field]}, but a view has several optimizers; use --{ours} instead"
            )


def check_strategy(trainer: Trainer) -> None:
    """Refuse what shards parameters."""
    strategy = trainer.strategy
    if isinstance(strategy, (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy)):
        raise UserError(
            f"strategy {type(strategy).__name__} shards parameters and gathers them in a module's forward, but a "
            "sampler draws and scores "
            "by other methods, and cost and sampler are trained in turn.\n"
            "Use --config trainer/ddp (or trainer/torchrun, trainer/slurm) after your config: each process holds the "
            "whole pair"
        )


def check_pair(view: View) -> None:
    """Draw twice from the sampler and look at the shapes of samples, cost and log q; no random state is spent."""
    cost, sampler, expected = type(view.cost).__name__, type(view.sampler).__name__, list(view.event["shape"])
    if view.cost._compiled_call_impl is not None:
        return  # two samples would be compiled for
    with evaluating(view):  # spectral norms move in training mode
        with torch.random.fork_rng(devices=[]):
            samples, log_q = view.sampler.sample(2)
        if space_of(view.event).has_steps and not isinstance(samples, Trajectory):
            raise UserError(f"sampler {sampler} draws tensors, the data is trajectories: use PolicySampler")
        if isinstance(samples, Tensor) and list(samples.shape) != [2, *expected]:
            raise UserError(
                f"sampler {sampler} draws samples of shape {list(samples.shape[1:])}, the data has {expected}: "
                "build it from the event that it is given"
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
                raise UserError(
                    f"{name} has shape {list(scalars.shape)} for 2 samples; it must be [2], one scalar each"
                )
        if log_q is None and view.sampler.has_density:
            raise UserError(
                f"sampler {sampler} says has_density, but its sample() gives no log q; return it, or say False"
            )


def load_checkpoint(path: str) -> dict[str, Any]:
    """A view's checkpoint as data.

    Raises:
        UserError: if there is none, or it is truncated or something else.
    """
    try:
        return read_checkpoint(path)
    except ValueError as error:
        raise UserError(shorten(str(error))) from None


def check_checkpoint(path: Path, view: View, is_resumed: bool) -> None:
    """Compare a checkpoint with the view that is to take it.

    Raises:
        UserError: naming what differs.
    """
    checkpoint = load_checkpoint(str(path))
    theirs, mine = checkpoint["state_dict"], view.state_dict()
    differences = [
        f"{key}: {_shape(theirs.get(key))} there, {_shape(mine.get(key))} here"
        for key in [*mine, *(key for key in theirs if key not in mine)]
        if _shape(theirs.get(key)) != _shape(mine.get(key))
    ]
    if differences:
        more = len(differences) - MOST_DIFFERENCES
        named = differences[:MOST_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])
        raise UserError(
            f"checkpoint {path} is of another architecture than this config:\n  "
            + "\n  ".join(named)
            + "\nUse the config.yaml that lies in its run's folder, or change the sizes here"
        )
    if not is_resumed:
        return
    if lacking := [key for key in NEEDED if key not in checkpoint]:
        raise UserError(
            f"checkpoint {path} lacks {' and '.join(lacking)}, so a run cannot go on from it: weights alone are taken "
            "by --init_from"
        )
    kind = checkpoint.get("hyper_parameters", {}).get("_class_path", "").rsplit(".", 1)[-1]
    if kind and kind != type(view).__name__:
        raise UserError(
            f"checkpoint {path} is of the view {kind}, this config's is {type(view).__name__}: --ckpt_path resumes the "
            "same view; use --init_from to continue the pair in another one"
        )
    if "optimizer_states" not in checkpoint:
        raise UserError(
            f"checkpoint {path} holds weights alone (save_weights_only), from which no run can go on; --init_from "
            f"{path} starts a new one "
            "with its pair"
        )
    ours = check_optimizers(view)
    if ours is not None and len(checkpoint["optimizer_states"]) != ours:
        raise UserError(
            f"checkpoint {path} has {len(checkpoint['optimizer_states'])} optimizers, this config {ours}: "
            "sampler_steps or warm_start differs; use --init_from to continue with the pair alone"
        )


def check_optimizers(view: View) -> int | None:
    """Make the optimizers once, so that a learning rate which is not allowed is told before training.

    Returns:
        Their number; None for a view that makes them in its own way, perhaps not without a trainer.
    """
    if type(view).configure_optimizers is not View.configure_optimizers:
        return None
    try:
        optimizers, _ = view.configure_optimizers()
    except ValueError as error:
        raise UserError(f"optimizer: {error}") from error
    return len(optimizers)


def _shape(tensor: torch.Tensor | None) -> str:
    return "absent" if tensor is None else str(list(tensor.shape))
