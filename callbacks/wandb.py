"""Weights & Biases, online when logged in and offline otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from pytorch_lightning import loggers
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

from lightning_irl.errors import UserError
from lightning_irl.files import folder_of, whole, why_unwritable

PACKAGES = ("lightning-irl", "torch", "pytorch-lightning", "torchmetrics", "wandb", "zuko", "gymnasium")
# Keys for which the table of runs shows the best value.
BEST = {
    "min": (
        "val/nll_model",
        "val/nll_sampler",
        "val/bits_per_dim_model",
        "val/bits_per_dim_sampler",
        "kl/model",
        "kl/sampler",
    ),
    "max": ("imitation/normalised_return", "imitation/normalised_return_mode", "imitation/return"),
}
RUN_FILE = "wandb-run.txt"  # in a run's folder, beside its checkpoints; holds the id of its W&B run


class WandbLogger(loggers.WandbLogger):
    """Lightning's W&B logger, which chooses offline mode by itself and says so, and sets the axes of charts.

    It is online if ``WANDB_MODE`` says so or an API key is known, and offline otherwise: nothing leaves the machine
    until you call ``wandb sync`` on the folder that is printed. The x-axis of every key is ``batch``, the batches
    trained so far; for ``imitation/`` it is the environment steps. The run's summary keeps the best value of
    likelihoods and returns; its config holds package versions and the commit of the code in the current folder. With
    ``--ckpt_path`` the checkpoint's W&B run continues.

    Args:
        project: W&B project.
        save_dir: folder of W&B's files; on the command line, by default the run's folder.
        tags: tags of the run.
        **options: options of Lightning's ``WandbLogger``, such as ``name``, ``group`` or ``log_model`` (checkpoints as
            artifacts); and of ``wandb.init``.
    """

    made: ClassVar[Any] = None  # the W&B run that a logger of this class last started in this process

    def __init__(
        self, project: str = "lightning-irl", save_dir: str | None = None, tags: list[str] | None = None, **options: Any
    ) -> None:
        if save_dir is not None and rank_zero_only.rank == 0 and (reason := why_unwritable(Path(save_dir))):  # type: ignore[attr-defined]
            raise UserError(
                f"save_dir of W&B is {save_dir}, which cannot be written ({reason}); give another folder, or none"
            )
        offline = options.pop("offline", None)
        if offline is None:
            offline = not is_logged_in()
        if offline:
            options["mode"] = "offline"
        super().__init__(project=project, save_dir=save_dir or ".", offline=offline, tags=tags, **options)
        self._is_arranged = False
        where = "offline: `wandb sync` the folder wandb/offline-run-* to upload" if offline else "online"
        rank_zero_info(f"W&B project {project}, {where}")

    @property
    def experiment(self) -> Any:
        """The W&B run."""
        if rank_zero_only.rank == 0 and self._experiment is None:  # type: ignore[attr-defined]
            finish_own_run()
        run = super().experiment
        if not self._is_arranged and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self._is_arranged = True
            WandbLogger.made = run
            run.define_metric("batch", hidden=True)
            run.define_metric("*", step_metric="batch")
            run.define_metric("environment_steps", step_metric="batch")
            run.define_metric("imitation/*", step_metric="environment_steps")
            for summary, keys in BEST.items():
                for key in keys:
                    axis = "environment_steps" if key.startswith("imitation/") else "batch"
                    run.define_metric(key, step_metric=axis, summary=f"{summary},last")
            run.config.update({"versions": versions(), "commit": commit()}, allow_val_change=True)
        return run

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(dict(metrics) if step is None else {**metrics, "batch": step}, step)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        super().after_save_checkpoint(checkpoint_callback)
        if rank_zero_only.rank == 0 and checkpoint_callback.dirpath:  # type: ignore[attr-defined]
            with whole(Path(checkpoint_callback.dirpath).parent / RUN_FILE) as aside:
                aside.write_text(f"{self.experiment.id}\n")

    def go_on(self, checkpoint: str) -> None:
        """Continue the W&B run of a checkpoint, if its folder names one; call this before anything is logged."""
        path = folder_of(Path(checkpoint)) / RUN_FILE
        if path.is_file() and self._id is None:
            self._id = self._wandb_init["id"] = path.read_text().strip()


def finish_own_run() -> None:
    """Finish the W&B run of an earlier fit in this process, which Lightning would continue; keep a user's own run."""
    import wandb

    if wandb.run is not None and wandb.run is WandbLogger.made:
        wandb.finish()


def is_logged_in() -> bool:
    """Whether ``WANDB_MODE`` is online, or is unset and W&B finds credentials; never prompts."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return mode == "online"
    import wandb

    return wandb.login(prompt=False, verify=False)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that affect a run's results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the code in the current folder, with a plus if files have changed since; empty without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
