"""Keys that callbacks such as EarlyStopping and ModelCheckpoint can monitor: those of the view and of reports.

Callbacks read ``trainer.callback_metrics``, each process its own. Reports put their values there in the first process
(:func:`publish`), and :func:`settle` copies them to the others before callbacks read them. A report computes a
monitored key at every validation. If it cannot (it failed, or no estimate of log Z is reliable) the key is NaN and
counts as unknown: EarlyStopping waits for the next value, and ModelCheckpoint takes every value for better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping
from pytorch_lightning.utilities import rank_zero_warn

from lightning_irl import processes
from lightning_irl.errors import UserError, did_you_mean
from lightning_irl.spaces.space import TrajectorySpace, space_of

WITH_VALIDATION = ("val/cost", "val/nll_sampler", "val/log_det")
# Keys of reports that a run may lack, and the callback that computes each.
REPORTS = {
    "val/nll_model": "LogPartition",
    "val/nll_stderr": "LogPartition",
    "val/bits_per_dim_*": "LogPartition",
    "kl/*": "LogPartition",
    "partition/*": "LogPartition",
    "imitation/*": "LogImitation",
    "equivalence/*": "LogEquivalence",
    "quality/*": "LogQuality",
    "ood/*": "LogOutOfDistribution",
}


@dataclass
class Published:
    """Keys that the reports of a run have published so far."""

    made: dict[str, int] = field(default_factory=dict)  # by key: batches trained when it was last computed
    unknown: set[str] = field(default_factory=set)  # monitored keys without a value
    said: set[str] = field(default_factory=set)  # keys already named in a warning


_PUBLISHED: WeakKeyDictionary[Trainer, Published] = WeakKeyDictionary()


def publish(trainer: Trainer, values: Mapping[str, float], batch: int) -> None:
    """Put values where callbacks read them, as Lightning's ``log`` does; in this process.

    Args:
        trainer: of the run.
        values: by key.
        batch: batches trained so far.
    """
    record = _PUBLISHED.setdefault(trainer, Published())
    # not through the property, which reduces the validation's metrics and so waits for the other processes
    metrics = trainer._logger_connector._callback_metrics
    metrics.update({key: torch.tensor(float(value)) for key, value in values.items()})
    record.made |= dict.fromkeys(values, batch)
    record.unknown -= set(values)


def monitored(trainer: Trainer) -> dict[str, str]:
    """Keys that callbacks read, by ``monitor`` or in a checkpoint's ``filename``, with the callback's name."""
    found: dict[str, str] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name, key = type(callback).__name__, getattr(callback, "monitor", None)
        template = getattr(callback, "filename", None) if isinstance(callback, Checkpoint) else None
        keys = re.findall(r"\{([^:}]+)", template) if isinstance(template, str) else []
        found |= {one: name for one in [key, *keys] if isinstance(one, str)}
    return found


def monitored_of(trainer: Trainer, report: Any) -> set[str]:
    """Keys that one report must compute at this validation because callbacks monitor them; none outside of fit."""
    if trainer.sanity_checking or trainer.state.fn != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return set()
    offered = report.monitorable(trainer, trainer.lightning_module)
    return {key for key in monitored(trainer) if _why_not(key, offered) == ""}


def _why_not(key: str, offered: Mapping[str, str]) -> str | None:
    """Why a key is not offered, by the first pattern that matches; empty if it is, None if no pattern matches."""
    return next((reason for pattern, reason in offered.items() if fnmatch(key, pattern)), None)


def of_view(view: Any) -> dict[str, str]:
    """Keys that views log, each with the reason why this view does not; empty if it does."""
    needs_density = "" if view.scores_demonstrations else "the sampler has no density of demonstrations"
    found = {"val/cost": "", "val/log_det": "", "val/nll_sampler": needs_density}
    for name, number, option in (
        ("cost", view.cost_steps, "cost_steps"),
        ("sampler", view.sampler_steps, "sampler_steps"),
        ("warm_start", view.warm_start, "warm_start"),
    ):
        reason = "" if number else f"model.{option} is 0"
        found |= {f"loss/{name}": reason, f"gradient/{name}_norm": reason}
    found |= {f"loss/{regulariser.name}": "" for regulariser in view.regularisers}
    own = f"partition/log_z_{view.pair.level_name}training"
    found |= {own: "", "partition/log_z_*training": f"this view's own is {own}"}
    is_trajectory = isinstance(space_of(view.event), TrajectorySpace)
    return found | {"environment_steps": "" if is_trajectory else "samples are no trajectories"}


def of_reports(trainer: Trainer) -> Iterator[dict[str, str]]:
    """For each report, its keys by pattern, each with the reason why this run lacks it; empty if it does not."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "monitorable"):
            yield dict(callback.monitorable(trainer, trainer.lightning_module))


def prepare(trainer: Trainer) -> None:
    """Refuse keys that this run cannot have, and make monitoring callbacks run after all reports.

    EarlyStopping then waits while its key is unknown.

    Raises:
        UserError: naming the key, why it cannot be monitored, and which keys can.
    """
    _PUBLISHED.pop(trainer, None)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        key = getattr(callback, "monitor", None)
        if isinstance(key, str) and (reason := _refusal(trainer, key)):
            raise UserError(
                f"{type(callback).__name__} monitors {key}, which this run does not have: {reason}; allowed: with "
                f"validation {', '.join(WITH_VALIDATION)}; {', '.join(_possible(trainer))}"
            )
        if isinstance(callback, EarlyStopping):
            callback._run_early_stopping_check = partial(_check_known, callback)  # type: ignore[method-assign]
    trainer.callbacks.sort(key=_place)  # type: ignore[attr-defined]


def _place(callback: Any) -> int:
    """Reports first, then callbacks that monitor them, then checkpoints, which save the state of all."""
    return 2 if isinstance(callback, Checkpoint) else int(isinstance(getattr(callback, "monitor", None), str))


def _refusal(trainer: Trainer, key: str) -> str:
    """Why a run cannot have a key; empty if it can, or if the key is unknown here."""
    if key.startswith("test/"):
        return "it exists only in test"
    found = [_why_not(key, offered) for offered in (of_view(trainer.lightning_module), *of_reports(trainer))]
    if "" in found:
        return ""
    maker = next((name for pattern, name in REPORTS.items() if fnmatch(key, pattern)), None)
    if maker and not any(type(one).__name__ == maker for one in trainer.callbacks):  # type: ignore[attr-defined]
        return f"callback {maker} makes it, which the trainer does not have"
    return next((reason for reason in found if reason), "")


def _possible(trainer: Trainer) -> list[str]:
    """Keys of a run's view and reports, besides :data:`WITH_VALIDATION`."""
    every = (of_view(trainer.lightning_module), *of_reports(trainer))
    keys = [key for offered in every for key, reason in offered.items() if not reason]
    return [key for key in dict.fromkeys(keys) if key not in WITH_VALIDATION]


def _check_known(callback: EarlyStopping, trainer: Trainer) -> None:
    """EarlyStopping's check, skipped while its key is unknown, which is neither better nor worse."""
    record = _PUBLISHED.get(trainer)
    if record is None or callback.monitor not in record.unknown:
        type(callback)._run_early_stopping_check(callback, trainer)


def settle(trainer: Trainer, after_validation: bool) -> None:
    """Give every process the values that callbacks are about to read; those not computed become unknown.

    Args:
        trainer: of the run; every process must call this.
        after_validation: whether reports were just due to compute the monitored keys.
    """
    keys, view = monitored(trainer), trainer.lightning_module
    batch: int = getattr(view, "batches", 0)
    if not keys:
        return
    record = _PUBLISHED.setdefault(trainer, Published())
    metrics, of_training = trainer.callback_metrics, of_view(view)
    offers = list(of_reports(trainer))
    for key in keys:
        if any(_why_not(key, offered) == "" for offered in offers):
            is_missing = key not in record.made or (after_validation and record.made[key] != batch)
        else:
            is_missing = key not in metrics and of_training.get(key) == "" and key not in WITH_VALIDATION
        if is_missing:
            metrics[key] = torch.tensor(torch.nan)
            record.unknown.add(key)
        elif key in record.unknown and not bool(metrics[key].isnan()):  # the view has logged it since
            record.unknown.remove(key)
    share(trainer)
    for key in sorted(record.unknown - record.said):
        record.said.add(key)
        is_named = key in of_training or any(key in offered for offered in offers)
        hint = "" if is_named else did_you_mean(key, record.made, f"made so far: {', '.join(record.made)}")
        rank_zero_warn(
            f"{keys.get(key, 'a callback')} monitors {key}, which has no value at batch {batch}: EarlyStopping waits "
            f"for one, and ModelCheckpoint takes every value for better{hint and '; ' + hint}"
        )


def share(trainer: Trainer) -> None:
    """Copy the monitored values that the first process's reports have published to every process."""
    keys = monitored(trainer)
    if not keys or processes.num_processes() == 1:
        return
    record, metrics = _PUBLISHED.setdefault(trainer, Published()), trainer.callback_metrics
    own = {key: float(metrics[key]) for key in keys if key in record.made or key in record.unknown}
    theirs, unknown = trainer.strategy.broadcast((own, record.unknown))
    metrics.update({key: torch.tensor(value) for key, value in theirs.items()})
    record.unknown = set(unknown)


def check_logged(trainer: Trainer, at_epoch_end: bool) -> None:
    """Provide what callbacks monitor at the end of an epoch or of a validation, and refuse a key that was not logged.

    Raises:
        UserError: naming the key and what was logged.
    """
    if trainer.sanity_checking or trainer.state.fn != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return
    settle(trainer, after_validation=not at_epoch_end)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if not isinstance(callback, EarlyStopping) or callback._check_on_train_epoch_end != at_epoch_end:
            continue
        logged = sorted(trainer.callback_metrics)
        if callback.strict and callback.monitor not in logged:
            hint = did_you_mean(callback.monitor, logged, f"logged so far: {', '.join(logged) or 'nothing'}")
            raise UserError(f"{type(callback).__name__} monitors {callback.monitor}, which was not logged; {hint}")
