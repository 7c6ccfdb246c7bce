"""Starting a view from another view's checkpoint: the whole pair, or its cost alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lightning_irl.costs.shaped import without_shaping

if TYPE_CHECKING:
    from lightning_irl.views.view import View


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read a view's checkpoint as data, onto the CPU.

    Raises:
        ValueError: if there is no such file, or it is truncated or not a view's checkpoint.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {path}") from None
    except Exception as error:  # torch raises many kinds of errors for a bad file
        reason = str(error).partition("\n")[0]
        detail = f": {reason}" if " " in reason else ""  # the text of some errors is a single byte
        raise ValueError(f"{path} is truncated or no checkpoint{detail}") from None
    if "state_dict" not in checkpoint or "log_z" not in checkpoint["state_dict"]:
        raise ValueError(f"{path} is not the checkpoint of a view; it lacks cost, sampler and log_z")
    return checkpoint


def take_pair(view: View, path: str) -> None:
    """Load cost, sampler and log_z from any view's checkpoint.

    Raises:
        ValueError: if the file is no checkpoint, or its pair has another architecture.
    """
    theirs = read_checkpoint(path)["state_dict"]
    for part, module in {"cost": view.cost, "sampler": view.sampler}.items():
        _load(module, part, _under(f"{part}.", theirs), path)
    with torch.no_grad():
        view.log_z.copy_(theirs["log_z"])


def take_cost(cost: nn.Module, path: str) -> None:
    """Load the cost from any view's checkpoint.

    If that cost is shaped and this one is not, only its g is loaded, which does not depend on the dynamics (Fu et al.
    2018).

    Raises:
        ValueError: if the file is no checkpoint, or its cost has another architecture.
    """
    state = _under("cost.", read_checkpoint(path)["state_dict"])
    _load(cost, "cost", without_shaping(state, cost), path)


def _under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    """The entries of a state dict under a prefix, with the prefix removed."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _load(module: nn.Module, part: str, state: dict[str, Any], path: str) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"the {part} in {path} is not this {type(module).__name__}: {error}") from None
