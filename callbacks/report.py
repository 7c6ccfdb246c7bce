"""The base of callbacks that report on a run: their part of the summary, and the keys others can monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import RenderableType

from lightning_irl.views import View, monitors


def why_no_validation(trainer: Trainer) -> str:
    """Why a run has no results of validation; empty if it validates."""
    return "" if trainer.limit_val_batches else "it is made with validation, and trainer.limit_val_batches is 0"  # type: ignore[attr-defined]


def why_no_density(view: View) -> str:
    """Why there is nothing that needs log q; empty if the sampler has a density."""
    return "" if view.sampler.has_density else f"sampler {type(view.sampler).__name__} has no density"


def why_no_model(view: View) -> str:
    """Why exp(-c/T)/Z is not a model in this view; empty if it is."""
    if view.has_model or not view.sampler.has_density:
        return why_no_density(view)
    if view.cost_steps or view.sampler_steps:
        return "the loss of the cost has no model"
    return "cost_steps and sampler_steps are 0, so there is no model"


class Report(Callback):
    """A callback that evaluates a view and reports the results.

    It has every hook of Lightning's callbacks. At the end of ``fit`` and of ``test``
    :class:`~lightning_irl.callbacks.Summary` prints what :meth:`summary` returns. Scalars that it publishes
    (:func:`~lightning_irl.callbacks.publish.publish_scalars`) go to every logger, and can be monitored by
    ``EarlyStopping`` and ``ModelCheckpoint``, which run after all reports. If a scalar takes time to compute, name its
    key in :meth:`monitorable`, and compute it after a validation only if :meth:`monitored` contains it.

    Example:
        >>> class CountDraws(Report):
        ...     draws = 0
        ...     def on_train_end(self, trainer, pl_module):
        ...         self.draws = len(pl_module.sampler.sample(8)[0])
        ...     def summary(self):
        ...         return [f"{self.draws} draws at the end"]
    """

    def summary(self) -> Sequence[RenderableType]:
        """What to print, in order: text (rich's markup is understood) or rich's tables; nothing by default."""
        return ()

    def monitorable(self, trainer: Trainer, view: View) -> Mapping[str, str]:
        """Keys that this report computes at every validation of ``fit`` if a callback monitors them.

        Args:
            trainer: of the run; its data module is set up.
            view: the view that is reported on.

        Returns:
            For each key, or pattern such as ``quality/*`` (the first that matches counts), the reason why this run
            lacks it; empty if it does not.
        """
        return {}

    def monitored(self, trainer: Trainer, pl_module: LightningModule) -> set[str]:
        """The keys of :meth:`monitorable` that a callback monitors; none outside of ``fit``."""
        return monitors.monitored_of(trainer, self) if isinstance(pl_module, View) else set()
