"""Options of Lightning's trainer, and schedules of torch, that a view cannot use: refused before training."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    DeviceStatsMonitor,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.callbacks.spike import SpikeDetection
from pytorch_lightning.utilities import rank_zero_info
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_irl.errors import UserError
from lightning_irl.optim.schedules import NO_LENGTH, DecayToZero
from lightning_irl.views.contracts import data_of

WITHIN_A_STEP = (
    "saves at an exception, which is within a step: a run cannot go on from there exactly, and of several processes "
    "the others do not take part; use ModelCheckpoint with every_n_train_steps or train_time_interval, and without "
    "save_on_exception"
)
PRECISIONS = ("32-true", "64-true", "bf16-mixed")
INSTEAD = {
    GradientAccumulationScheduler: "changes accumulate_grad_batches, which a view with several optimizers does not "
    "have; set model.accumulate",
    LearningRateFinder: "searches the rate of one optimizer that Lightning steps, and a view steps its own; try rates "
    "by model.cost_optimizer and model.sampler_optimizer",
    BatchSizeFinder: "changes the data module's batch_size while it runs, and log Z depends on it; set data.batch_size",
    BackboneFinetuning: "needs a module called backbone and one optimizer; a view's modules are cost and sampler, and "
    "sampler_steps or cost_steps 0 holds one of them fixed",
    SpikeDetection: (
        "needs the loss that training_step returns, and a view descends several; it stops by itself where one is not "
        "finite"
    ),
    OnExceptionCheckpoint: WITHIN_A_STEP,
    StochasticWeightAveraging: (
        "averages the weights of one optimizer; use the callback WeightAverage, which counts batches"
    ),
}


def check_trainer(
    trainer: Trainer, steps_of_round: tuple[int, int], steps_per_epoch: int | None, warm_start: int = 0
) -> None:
    """Check a trainer before it fits a view.

    Args:
        trainer: the trainer.
        steps_of_round: steps in a round, of the cost (one a batch) and of the sampler; Lightning's ``global_step``
            counts them all.
        steps_per_epoch: batches in an epoch; None if unknown.
        warm_start: batches at the start, each with one step.

    Raises:
        UserError: naming what the view cannot use, and what to use instead.
    """
    if trainer.precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision is {trainer.precision}; a view takes {', '.join(PRECISIONS)}: in half precision log q "
            "and log Z lose their digits, and 16-mixed skips steps, on which the two optimizers would have to agree"
        )
    if (
        clip := getattr(trainer, "gradient_clip_algorithm", None)
    ) is not None:  # Lightning refuses the value, and ignores this
        raise UserError(
            f"trainer.gradient_clip_algorithm is {clip.value}, which does nothing here: a view has several optimizers "
            "and clips by norm; use model.clip_norm instead"
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name = type(callback).__name__
        for kind, reason in INSTEAD.items():
            if isinstance(callback, kind):
                raise UserError(f"callback {name} {reason}")
        if getattr(callback, "save_on_exception", False):
            raise UserError(f"callback {name} {WITHIN_A_STEP}")
        every = getattr(callback, "update_every_n_steps", 1)
        counts_steps = type(callback).on_train_batch_end is WeightAveraging.on_train_batch_end
        if (
            isinstance(callback, EMAWeightAveraging)
            and counts_steps
            and not _goes_on(every, steps_of_round, warm_start)
        ):
            raise UserError(
                f"callback {name} counts the steps of every optimizer: with update_every_n_steps {every} and rounds "
                f"of {steps_of_round[0]} steps of the cost and {steps_of_round[1]} of the sampler it never updates "
                "but in a warm start, and the run would end with its first weights; use the callback WeightAverage, "
                "which has the same options and counts batches"
            )
        if isinstance(callback, DeviceStatsMonitor) and importlib.util.find_spec("psutil") is None:
            raise UserError(f"callback {name} needs psutil, which is not installed: pip install psutil")
    interval = trainer.val_check_interval
    by_batches = isinstance(interval, int) and trainer.check_val_every_n_epoch is not None
    if by_batches and steps_per_epoch is not None and interval > steps_per_epoch:
        raise UserError(
            f"trainer.val_check_interval is {interval} batches, an epoch has {steps_per_epoch}; give at most that, or "
            "trainer.check_val_every_n_epoch for validation every so many epochs"
        )


def _goes_on(every: int, steps_of_round: tuple[int, int], before: int) -> bool:
    """Whether any batch ends one step after a multiple of ``every`` steps, given ``before`` steps of a warm start.

    One period is enough to tell, since the steps repeat.
    """
    of_cost, of_sampler = steps_of_round
    if not (of_cost or of_sampler):
        return True  # all is warm start, or no optimizer steps
    batches = max(of_cost, 1)
    taken = [(batch if of_cost else 0) + of_sampler * (batch // batches) for batch in range(1, every * batches + 1)]
    return any((before + steps) % every == 1 % every for steps in taken)


def count_batches(trainer: Trainer, num_optimizers: int) -> None:
    """Make ``fast_dev_run`` N run N batches, and say that ``max_steps`` counts the steps of every optimizer."""
    if getattr(trainer, "fast_dev_run", False):
        trainer.fit_loop.epoch_loop.max_steps = (
            -1
        )  # else Lightning stops after N steps of all optimizers, before validation
    elif trainer.max_steps > 0 and num_optimizers > 1:
        rank_zero_info(
            f"trainer.max_steps {trainer.max_steps} counts the steps of every optimizer, of which there are "
            f"{num_optimizers}, not batches; trainer.max_epochs times data.steps_per_epoch counts batches"
        )


def log_at(trainer: Trainer, batches: int) -> None:
    """Make Lightning log against the number of batches, as reports do; its own count restarts at 0 in each run."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = batches


def batches_of(name: str, trainer: Trainer | None, warm_start: int) -> float | None:
    """Number of batches in which an optimizer's schedule is stepped, over the whole run.

    Args:
        name: ``cost``, ``sampler`` or ``warm_start``.
        trainer: the view's trainer; None without one.
        warm_start: batches at the start that train the sampler alone.

    Returns:
        The number; infinity if the run's end is not known beforehand, None without a trainer.
    """
    if trainer is None:
        return None
    epoch = data_of(trainer).steps_per_epoch
    if epoch is None or trainer.max_steps > 0 or trainer.max_epochs is None or trainer.max_epochs < 0:
        return math.inf
    limit = trainer.limit_train_batches
    batches = trainer.max_epochs * (min(epoch, limit) if isinstance(limit, int) else int(epoch * limit))
    return min(warm_start, batches) if name == "warm_start" else max(batches - warm_start, 0)


def check_descent(name: str, optimizer: Optimizer, scheduler: Any, batches: float | None) -> None:
    """Check an optimizer and its schedule; a schedule without a length takes that of the run.

    Args:
        name: ``cost``, ``sampler`` or ``warm_start``.
        optimizer: the optimizer.
        scheduler: its schedule, or None.
        batches: number of batches in which it is stepped, from :func:`batches_of`.

    Raises:
        UserError: if a view cannot step one of them, or neither schedule nor run has a length.
    """
    if isinstance(optimizer, LBFGS):
        raise UserError(
            f"{name}_optimizer is LBFGS, which evaluates the loss several times a step; use Adam, SGD or another"
        )
    if isinstance(scheduler, ReduceLROnPlateau):
        raise UserError(
            f"{name}_scheduler is {type(scheduler).__name__}, which needs a metric at every step; schedules here are "
            "stepped once a batch, without one: use CosineAnnealingLR, StepLR or another"
        )
    is_endless = batches is None or math.isinf(batches)
    if isinstance(scheduler, DecayToZero) and scheduler.total is None and batches is not None:
        if is_endless:
            raise UserError(f"{name}_scheduler: {NO_LENGTH}")
        scheduler.take_length(int(batches))
    total = getattr(scheduler, "total_steps", None)
    if total is not None and not is_endless and total < batches:
        raise UserError(
            f"{name}_scheduler {type(scheduler).__name__} has total_steps {total}, but is stepped once a batch, "
            f"{batches} times; give total_steps {batches}"
        )
