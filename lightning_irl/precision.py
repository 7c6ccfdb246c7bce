"""Densities at full precision, even where autocast lowers that of the networks around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import wraps
from typing import Any

import torch

DEVICES = ("cpu", "cuda", "mps", "xpu")


def at_full_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method run outside autocast.

    bfloat16 has 8 significant bits: on 64 pixels a flow's draw and its density then disagree by a nat, and so do all
    weights, logits and log Z.
    """

    @wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        active = [device for device in DEVICES if torch.is_autocast_enabled(device)]
        if not active:
            return method(*args, **kwargs)
        with ExitStack() as stack:
            for device in active:
                stack.enter_context(torch.autocast(device, enabled=False))
            return method(*args, **kwargs)

    return run


def keep_full_precision(cls: type, names: Iterable[str]) -> None:
    """Run the named methods that a class itself defines :func:`at_full_precision`."""
    for name in names:
        if name in cls.__dict__:
            setattr(cls, name, at_full_precision(cls.__dict__[name]))
