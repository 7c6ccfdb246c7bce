"""Checks before a view trains: that its parts fit together, and that its trainer can train it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytorch_lightning.utilities import rank_zero_warn

from lightning_irl.regularisers import Regulariser
from lightning_irl.views import averages, checkpoints, monitors, options, trainer_limits
from lightning_irl.views.checks import check_setup, num_optimizers
from lightning_irl.views.contracts import data_of
from lightning_irl.views.devices import check_device
from lightning_irl.views.environment import compare_with_environment
from lightning_irl.views.learning_rates import name_learning_rates
from lightning_irl.views.modules import trainable
from lightning_irl.views.states_alone import check_states_alone

if TYPE_CHECKING:
    from lightning_irl.views.view import View


def check_parts(view: View, is_compiled: bool) -> None:
    """Refuse parts that do not fit together, when the view is built.

    Raises:
        ValueError: naming what does not fit and what to do.
    """
    sampler = type(view.sampler).__name__
    if view.sampler_steps:
        view.learner.check(view.sampler)
    if (view.sampler_steps or view.warm_start) and not trainable(view.sampler):
        raise ValueError(f"sampler {sampler} has nothing to learn; set sampler_steps and warm_start to 0")
    if (view.likelihood_weight or view.warm_start) and not view.sampler.has_density:
        raise ValueError(
            f"sampler {sampler} has no density; set likelihood_weight and warm_start to 0 or use a sampler with a "
            "density, such as FlowSampler"
        )
    _check_regularisers(view, is_compiled)
    pair = view.pair
    view.rounds.check(pair, view.accumulate)
    view.cost_objective.check(pair)
    view.sampler_objective.check(pair, view.learner, descends=bool(view.sampler_steps))


def _check_regularisers(view: View, is_compiled: bool) -> None:
    regularisers = [module for module in view.regularisers if isinstance(module, Regulariser)]
    names = [regulariser.name for regulariser in regularisers]
    if names and not view.cost_steps:
        raise ValueError(
            f"regularisers are {', '.join(names)}, but cost_steps is 0: the cost does not learn; remove them"
        )
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"regulariser {name} is given {names.count(name)} times; give it once, with the sum of the weights"
            )
    slopes = [regulariser.name for regulariser in regularisers if regulariser.needs_sample_gradient]
    if slopes and is_compiled:
        raise ValueError(
            f"regulariser {slopes[0]} takes a second derivative of the cost, which torch.compile does not have; "
            "remove compile"
        )


def prepare(view: View, stage: str) -> None:
    """Check a view against its trainer and data, at the start of Lightning's ``stage``.

    Raises:
        UserError: naming what is not possible, and what to do instead.
    """
    trainer: Any = view.trainer
    check_device(trainer, view)
    check_setup(view, trainer)
    compare_with_environment(view.sampler, trainer.datamodule, stage)
    view.states_alone = check_states_alone(view, trainer.datamodule)
    if stage == "fit":
        steps = data_of(trainer).steps_per_epoch
        trainer_limits.check_trainer(trainer, steps_of_round(view), steps, view.warm_start // view.accumulate)
        trainer_limits.count_batches(trainer, num_optimizers(view))
        averages.put_in_place(trainer)
        monitors.prepare(trainer)
        name_learning_rates(trainer, lambda: view.descent.names)
        for line in options.of_view(view, {**view.hparams, **view.described}):
            rank_zero_warn(line)
        checkpoints.save_by_batches(trainer)


def steps_of_round(view: View) -> tuple[int, int]:
    """Steps of the cost and of the sampler in a round; Lightning's ``global_step`` counts them all."""
    return view.cost_steps, view.sampler_steps * view.learner.descents
