"""What the command line looks at before a run has a folder; what Python users need too is in
:mod:`lightning_irl.views.checks`.
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
    """Compare a checkpoint with the view that is to take it, before the run has a folder.

    Raises:
        UserError: naming what differs.
    """
    checkpoint, whose = load_checkpoint(str(path)), f"checkpoint {path}"
    check_weights(checkpoint["state_dict"], view, whose)
    if is_resumed:
        check_resumable(checkpoint, view, whose)


def check_optimizers(view: View) -> None:
    """Make the optimizers once, so that a learning rate which is not allowed is told before the run has a folder; not
    of a view that makes them in its own way, perhaps not without a trainer.
    """
    if not has_usual_optimizers(view):
        return
    try:
        view.configure_optimizers()
    except ValueError as error:
        raise UserError(f"optimizer: {error}") from error
