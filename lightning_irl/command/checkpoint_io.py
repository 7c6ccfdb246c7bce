"""Atomic checkpoints: a file is either complete or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from lightning_irl.errors import UserError
from lightning_irl.files import whole
from lightning_irl.signals import held


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file in the same folder and renames it once it is complete on disk.

    If the process is killed, the disk is full or the folder is not writable, the previous checkpoint stays as it was.

    Attributes:
        newest: the last checkpoint that this process wrote, if it still exists; None before the first.
    """

    newest: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save to ``path``, replacing an existing file.

        Raises:
            UserError: if it cannot be written; the message gives the reason.
        """
        if "://" in str(path):  # remote file systems are left to Lightning
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        try:
            with held():
                with whole(target) as aside, aside.open("wb") as file:
                    torch.save(checkpoint, file)
                self.newest = target
        except (OSError, RuntimeError) as error:  # torch's writer turns an OSError into a RuntimeError
            cause = error if isinstance(error, OSError) else error.__context__
            reason = getattr(cause, "strerror", None) or str(error).partition("\n")[0]
            raise UserError(
                f"checkpoint {target} cannot be written ({reason}); what was saved before is kept. "
                "Make room, or give another --trainer.default_root_dir, and resume with --ckpt_path CHECKPOINT"
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the checkpoint at ``path``."""
        super().remove_checkpoint(path)
        if self.newest == Path(path):
            self.newest = None
