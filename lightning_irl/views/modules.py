"""Modules and parameters during a descent: trainable or held constant, in training or eval mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that require a gradient."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@contextmanager
def frozen(held: Sequence[nn.Parameter]) -> Iterator[None]:
    """Hold trainable parameters constant: gradients flow through them, but none is computed for them."""
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode, and restore the mode of each of its parts afterwards."""
    # through vars: Module.__setattr__ is slow, and this is in every step
    states = [vars(part) for part in module.modules() if part.training]
    for state in states:
        state["training"] = False
    try:
        yield
    finally:
        for state in states:
            state["training"] = True
