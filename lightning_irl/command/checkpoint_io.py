"""Checkpoints that are there in full or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from lightning_irl.errors import UserError
from lightning_irl.files import whole
from lightning_irl.signals import held


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint aside, in the same folder, and renames it once all of it is on the disk.

    A process that is killed at any moment, a full disk or a folder that cannot be written leave what was saved before
    as it was.

    Attributes:
        newest: the last that this process has written, where it is still there; None before.
    """

    newest: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save at ``path``, replacing what is there.

        Raises:
            UserError: if it cannot be written, with the reason.
        """
        if "://" in str(path):  # a remote file system has its own ways
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        try:
            with held():
                with whole(target) as aside, aside.open("wb") as file:
                    torch.save(checkpoint, file)
                self.newest = target
        except (OSError, RuntimeError) as error:  # torch's writer turns the former into the latter
            cause = error if isinstance(error, OSError) else error.__context__
            reason = getattr(cause, "strerror", None) or str(error).partition("\n")[0]
            raise UserError(
                f"checkpoint {target} cannot be written ({reason}); what was saved before is kept. "
                "Make room, or give another --trainer.default_root_dir, and go on with --ckpt_path CHECKPOINT"
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Remove what was saved at ``path``."""
        super().remove_checkpoint(path)
        if self.newest == Path(path):
            self.newest = None
