"""Checks of the command line before a run's folder is made.

Checks that Python users need too are in :mod:`lightning_irl.views.checks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from lightning_irl.errors import UserError, shorten
from lightning_irl.views import View
from lightning_irl.views.checks import check_resumable, check_weights, has_usual_optimizers
from lightning_irl.views.view import read_checkpoint


def check_trainer_config(config: Namespace) -> None:
    """Refuse Trainer options that do not work with several optimizers, and name the view's own."""
    for field, default, ours in (
        ("gradient_clip_val", None, "model.clip_norm"),
        ("gradient_clip_algorithm", None, "model.clip_norm"),
        ("accumulate_grad_batches", 1, "model.accumulate"),
    ):
        if config[field] not in (None, default):
            raise UserError(
                f"trainer.{field} is {config[field]}, but a view has several optimizers; use --{ours} instead"
            )


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a view's checkpoint as plain data.

    Raises:
        UserError: if there is no such file, it is truncated, or it is not a checkpoint.
    """
    try:
        return read_checkpoint(path)
    except ValueError as error:
        raise UserError(shorten(str(error))) from None


def check_checkpoint(path: Path, view: View, is_resumed: bool) -> None:
    """Check that a view can load a checkpoint, before the run's folder is made.

    Raises:
        UserError: if it cannot; the message names what differs.
    """
    checkpoint, whose = load_checkpoint(str(path)), f"checkpoint {path}"
    check_weights(checkpoint["state_dict"], view, whose)
    if is_resumed:
        check_resumable(checkpoint, view, whose)


def check_optimizers(view: View) -> None:
    """Build the optimizers once, so that an invalid learning rate is reported before the run's folder is made.

    Views with their own ``configure_optimizers``, which may need a trainer, are skipped.
    """
    if not has_usual_optimizers(view):
        return
    try:
        view.configure_optimizers()
    except ValueError as error:
        raise UserError(f"optimizer: {error}") from error
