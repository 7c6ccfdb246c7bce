"""Checkpoints that are there in full or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from lightning_irl.errors import UserError


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint aside, in the same folder, and renames it once all of it is on the disk.

    A process that is killed at any moment, a full disk or a folder that cannot be written leave what was saved before as it was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save at ``path``, replacing what is there.

        Raises:
            UserError: if it cannot be written, with the reason.
        """
        if "://" in str(path):  # a remote file system has its own ways
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        aside = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        except (OSError, RuntimeError) as error:  # torch's writer turns the former into the latter
            aside.unlink(missing_ok=True)
            cause = error if isinstance(error, OSError) else error.__context__
            reason = getattr(cause, "strerror", None) or str(error).partition("\n")[0]
            raise UserError(
                f"checkpoint {target} cannot be written ({reason}); what was saved before is kept. "
                "Make room, or give another --trainer.default_root_dir, and go on with --ckpt_path CHECKPOINT"
            ) from error
