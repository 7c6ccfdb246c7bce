"""Weights & Biases, online when logged in and offline otherwise."""

from __future__ import annotations

import os
from typing import Any

from pytorch_lightning import loggers
from pytorch_lightning.utilities import rank_zero_info


class WandbLogger(loggers.WandbLogger):
    """Lightning's W&B logger that goes offline by itself and says so.

    Online when ``WANDB_MODE`` says so or an API key is known; offline otherwise: nothing leaves the machine until
    ``wandb sync`` is called on the folder that is printed.

    Args:
        project: W&B project.
        save_dir: folder of W&B's files; the run's folder by default on the command line.
        **options: of Lightning's ``WandbLogger``.
    """

    def __init__(self, project: str = "lightning-irl", save_dir: str | None = None, **options: Any) -> None:
        offline = options.pop("offline", None)
        if offline is None:
            offline = not is_logged_in()
        if offline:
            options["mode"] = "offline"
        super().__init__(project=project, save_dir=save_dir or ".", offline=offline, **options)
        where = "offline: `wandb sync` the folder wandb/offline-run-* to upload" if offline else "online"
        rank_zero_info(f"W&B project {project}, {where}")


def is_logged_in() -> bool:
    """Whether ``WANDB_MODE`` asks for online, or is unset and W&B finds credentials; nobody is prompted."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return mode == "online"
    import wandb

    return wandb.login(prompt=False, verify=False)
