"""What callbacks such as EarlyStopping and ModelCheckpoint can monitor, and what only reports and loggers know."""

from __future__ import annotations

from fnmatch import fnmatch

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping

from lightning_irl.errors import UserError, did_you_mean

WITH_VALIDATION = ("val/cost", "val/nll_sampler", "val/log_det")
IN_TRAINING = (
    "loss/cost",
    "loss/sampler",
    "gradient/cost_norm",
    "gradient/sampler_norm",
    "partition/log_z_training",
    "environment_steps",
)
# Keys that reports publish, and when: they go to files and loggers, and no callback sees them.
AT_THE_END = "by the report at the end of fit"
PUBLISHED = {
    "val/nll_model": AT_THE_END,
    "val/nll_stderr": AT_THE_END,
    "val/bits_per_dim_*": AT_THE_END,
    "test/*": "in test alone",
    "kl/*": AT_THE_END,
    "quality/*": AT_THE_END,
    "ood/*": AT_THE_END,
    "partition/*_training": "",  # the view's own
    "partition/*": "by the reports after validation and at the end of fit",
    "imitation/*": "by the report every imitation.every_n_batches batches",
    "equivalence/*": "by the report every equivalence.every_n_batches batches",
}


def check_monitors(trainer: Trainer) -> None:
    """Refuse before training to monitor what reports publish.

    Raises:
        UserError: naming the key, when it is logged, and what can be monitored.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        key = getattr(callback, "monitor", None)
        when = next((when for pattern, when in PUBLISHED.items() if fnmatch(str(key), pattern)), "")
        if when:
            raise UserError(
                f"{type(callback).__name__} monitors {key}, which is logged {when} and cannot be monitored; what can: "
                "with validation "
                f"{', '.join(WITH_VALIDATION)}; every trainer.log_every_n_steps batches {', '.join(IN_TRAINING)}"
            )


def check_logged(trainer: Trainer, at_epoch_end: bool) -> None:
    """Refuse at the end of an epoch or of a validation to stop by what was not logged.

    Raises:
        UserError: naming the key and what was logged.
    """
    if trainer.sanity_checking or trainer.state.fn != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if not isinstance(callback, EarlyStopping) or callback._check_on_train_epoch_end != at_epoch_end:
            continue
        logged = sorted(trainer.callback_metrics)
        if callback.strict and callback.monitor not in logged:
            hint = did_you_mean(callback.monitor, logged, f"logged so far: {', '.join(logged) or 'nothing'}")
            raise UserError(f"{type(callback).__name__} monitors {callback.monitor}, which was not logged; {hint}")
