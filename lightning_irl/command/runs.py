"""The folder of a run, ``runs/<view>/<config>/<time stamp>``, with all files that the run writes.

==================  ==========================================================================================
``config.yaml``     every field of the run; ``--config`` accepts it, for any verb
``metrics.csv``     the logged scalars
``checkpoints/``    for ``--ckpt_path`` and ``--init_from``
``test-<stamp>/``   files of ``test`` on one of these checkpoints; likewise ``validate-`` and ``predict-``, the
                    latter with ``predictions.npz``: an array for each score, one entry for each sample
==================  ==========================================================================================
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger

from lightning_irl import __version__
from lightning_irl.errors import UserError
from lightning_irl.files import folder_of, run_folder, whole, why_unwritable
from lightning_irl.spaces.samples import fields_of, join

RUNS = Path("runs")


def config_name(path: Path) -> str:
    """A config's name in folder names: its file's name, or for a saved config the name of the config that ran."""
    if path.name != "config.yaml" or not path.read_text().startswith("# lightning-irl"):
        return path.stem
    folder = path.resolve().parent
    return folder.parent.name if re.fullmatch(r"\d{8}-\d{6}(-\d+)?", folder.name) else folder.name


def new_folder(verb: str, view: str, config: str, checkpoint: Path | None) -> Path:
    """Make a folder that belongs to this run alone.

    Args:
        verb: fit, validate, test or predict.
        view: the view's name, lower case.
        config: the config's name.
        checkpoint: the checkpoint to test or score; the folder is then made in that of the run that saved it.

    Raises:
        UserError: if the folder cannot be made.
    """
    parent, stamp = RUNS / view / config, time.strftime("%Y%m%d-%H%M%S")
    if verb != "fit":
        stamp = f"{verb}-{stamp}"
        if checkpoint is not None and (folder_of(checkpoint) / "config.yaml").is_file():
            parent = folder_of(checkpoint)
    for name in [stamp, *(f"{stamp}-{number}" for number in range(2, 1000))]:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            (parent / name).mkdir()
        except (FileExistsError, FileNotFoundError):
            if all(folder.is_dir() for folder in (parent, *parent.parents) if folder.exists()):
                continue  # another run started in this second, or ended and removed the empty parent
            raise _unwritable(parent / name, "a file is in the way") from None
        except OSError as error:
            raise _unwritable(parent / name, error.strerror) from None
        return parent / name
    raise UserError(f"a thousand runs have started in {parent} in this second; start again")


def discard(folder: Path) -> None:
    """Remove the empty folder of a run that never began, and parents that are empty then."""
    for empty in (folder, *folder.parents):
        try:
            empty.rmdir()
        except OSError:
            return


def given_folder(folder: Path) -> Path:
    """Make the folder that the user gave.

    Raises:
        UserError: if it is not writable, or already holds a run.
    """
    for kept in ("config.yaml", "metrics.csv"):
        if (folder / kept).exists():
            raise UserError(
                f"run folder {folder} already holds a run ({kept}), which is not overwritten: "
                "give another --trainer.default_root_dir, or none for a new folder each time"
            )
    if reason := why_unwritable(folder):
        raise _unwritable(folder, reason)
    return folder


def _unwritable(folder: Path, reason: str | None) -> UserError:
    return UserError(
        f"run folder {folder} cannot be written ({reason}): "
        "start elsewhere, or give a writable folder as --trainer.default_root_dir"
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint anywhere under a folder (a slash in a metric's name makes subfolders), or None."""
    found = [path for path in folder.rglob("*.ckpt") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


class RunConfig(SaveConfigCallback):
    """Writes the resolved config beside the checkpoints and into the loggers' hyper-parameters.

    What belongs to this run alone is left out: its folder, and the checkpoint that it resumed from, which a comment
    names.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "overwrite": True, "save_to_log_dir": False})

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Send the first process's folder to the others."""
        trainer._default_root_dir = trainer.strategy.broadcast(trainer.default_root_dir)  # type: ignore[attr-defined]
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Write ``config.yaml`` into the run's folder when a fit starts."""
        if stage != "fit":
            return
        config = self.config.clone()
        resumed = config.pop("ckpt_path", None)
        config.pop("weights_only", None)
        config.trainer.default_root_dir = None
        text: str = self.parser.dump(config, skip_none=False, skip_validation=True)
        header = f"# lightning-irl {__version__}" + (f", resumed from {resumed}" if resumed else "")
        folder = run_folder(trainer)
        with whole(folder / "config.yaml") as aside:
            aside.write_text(f"{header}\n{text}")
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams({"config": yaml.safe_load(text)})


def save_predictions(outputs: list[Any], trainer: Trainer) -> Path:
    """Write the scores of all batches to ``predictions.npz``; with several processes, one file for each.

    The file has an array for each score; ``samples`` that are a named tuple become an array for each field.
    """
    rank = f"-rank{trainer.global_rank}" if trainer.world_size > 1 else ""
    path = run_folder(trainer) / f"predictions{rank}.npz"
    fields = fields_of(join([batch["samples"] for batch in outputs]))
    scores = {key: torch.cat([batch[key] for batch in outputs]) for key in outputs[0] if key != "samples"}
    kept = {key: part.float() if part.is_floating_point() else part for key, part in (fields | scores).items()}
    with whole(path) as aside, aside.open("wb") as file:
        np.savez(file, **{key: part.cpu().numpy() for key, part in kept.items()})  # type: ignore[arg-type]
    return path
