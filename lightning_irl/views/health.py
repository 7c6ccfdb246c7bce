"""Health of a view's training: losses and gradients are finite, and modules learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_irl.spaces.samples import Samples
from lightning_irl.views import checkpoints
from lightning_irl.views.finite import FiniteMonitor, NonFiniteError

if TYPE_CHECKING:
    from lightning_irl.views.loop import Loop

CHECK_EVERY = 50  # batches between two checks of the record of losses and gradients
STANDSTILL = {
    "cost": (
        "Its values may all lie at a bound (for a TiltedCost, fix its constant by regulariser CostOffset, or raise "
        "the bound), or its loss may be flat everywhere: lower the learning rate, or start again"
    ),
    "sampler": (
        "Its draws may all lie where the cost is flat, or its loss may saturate: lower the learning rate or start again"
    ),
    "warm_start": "Its likelihood may not depend on its parameters: check the sampler",
}


class Health:
    """A record of losses, gradients and draws, checked at intervals and always before a checkpoint is saved.

    Args:
        names: names of the descents, such as ``cost`` and ``sampler``.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.finite = FiniteMonitor(["draws", *(f"{kind}/{name}" for name in names for kind in ("loss", "gradient"))])

    def add(self, term: str, advice: Callable[[], str]) -> None:
        """Watch one more term, before training; ``advice`` returns what to do when it fails."""
        self.finite.add(term, advice)

    def watch(self, term: str, value: Tensor, batch: int, bound: float = float("inf")) -> None:
        """Record a value of a batch that must be finite and at most a bound, without reading it back."""
        self.finite.watch(term, value, batch, bound=bound)

    def watch_draws(self, samples: Samples, batch: int) -> None:
        """Record draws of a sampler (B, *shape), which must be finite."""
        self.finite.watch_draws(samples, batch)

    def check(self, loop: Loop, here: bool = False) -> None:
        """Check the record, of this process alone or of all.

        Raises:
            NonFiniteError: naming the first batch and term.
        """
        self.finite.check(lambda: _saved(loop), here)

    def check_parameters(self, loop: Loop) -> None:
        """Check the parameters, which a step can make non-finite even if every gradient was finite.

        Raises:
            NonFiniteError: naming the parameter.
        """
        for name, parameter in loop.named_parameters():
            if name != "log_z" and not bool(torch.isfinite(parameter).all()):
                raise NonFiniteError(
                    f"{name} is not finite after batch {loop.batches - 1}, though every gradient was; nothing is "
                    f"saved from here on. {_saved(loop)}Lower the learning rate"
                )

    def standstills(self, batches: int) -> list[str]:
        """Modules whose gradient has been exactly zero for :data:`CHECK_EVERY` batches or more, a line each."""
        return [
            f"the {name}'s gradient has been exactly 0 since batch {since}: it learns nothing. {STANDSTILL[name]}"
            for name in self.names
            if batches - (since := self.finite.zero_since.get(f"gradient/{name}", batches)) >= CHECK_EVERY
        ]


def _saved(loop: Loop) -> str:
    """A sentence naming the last good checkpoint; empty if there is none."""
    path = checkpoints.newest(loop.trainer) if loop.has_trainer else None
    return "" if path is None else f"The last checkpoint before it is good: {path}. "
