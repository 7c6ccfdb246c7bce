"""Which devices a run uses, and which it cannot: log Z and what is compared with it are computed in float64."""

from __future__ import annotations

import os

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.accelerators import MPSAccelerator
from pytorch_lightning.utilities import rank_zero_info

from lightning_irl.errors import UserError


def default_devices() -> int | str:
    """One device, however many there are; ``auto`` if torchrun or SLURM started several processes, with one each."""
    started = (os.environ.get(name, "1") for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return "auto" if any(number.isdecimal() and int(number) > 1 for number in started) else 1


def chosen_accelerator(given: object) -> object:
    """The accelerator given, but ``cpu`` for ``auto`` (and a line says so) if Lightning would choose one without
    float64.
    """
    if given != "auto" or not MPSAccelerator.is_available():
        return given
    rank_zero_info(
        "trainer.accelerator auto is cpu here: log Z is found in float64, which this machine's device (mps) does not "
        "have"
    )
    return "cpu"


def check_device(trainer: Trainer, view: LightningModule) -> None:
    """Check the device on which a view is to run.

    Args:
        trainer: of the run; callbacks that need float64 declare it with ``needs_float64``.
        view: the view, before it is moved there.

    Raises:
        UserError: naming what needs float64, if the device does not have it.
    """
    device = trainer.strategy.root_device
    if has_float64(device):
        return
    reports = [type(one).__name__ for one in trainer.callbacks if getattr(one, "needs_float64", False)]  # type: ignore[attr-defined]
    tensors = [*view.named_parameters(), *view.named_buffers()]
    parts = sorted({name.rpartition(".")[0] for name, one in tensors if one.dtype == torch.float64})
    if reports or parts:
        without = f", or leave out {', '.join(reports)}" if not parts else ""
        raise UserError(
            f"device {device.type} has no float64, used by {', '.join([*parts, *reports])}; set "
            f"trainer.accelerator=cpu{without}"
        )


def has_float64(device: torch.device) -> bool:
    """Whether a device supports double precision."""
    try:
        torch.empty(0, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True
