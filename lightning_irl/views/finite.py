"""A record of losses, gradients and draws, checked at intervals so that no training step waits for the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_irl.processes import counts_later
from lightning_irl.spaces.samples import Samples, finiteness

NOWHERE = (-1, -1)


class NonFiniteError(RuntimeError):
    """A loss or a gradient became NaN or infinite."""


class FiniteMonitor:
    """Finds the first batch, and in it the first term, at which a watched value was not finite or exceeded its bound.

    Values are kept as scalars on their device until the next :meth:`check`.

    Args:
        terms: names of the watched values; if two fail in the same batch, the earlier in this list is named.

    Attributes:
        zero_since: for each term that was exactly 0 at its last :meth:`check`, the batch since which it has been.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self.terms = {term: index for index, term in enumerate(terms)}
        self.advice: dict[str, Callable[[], str]] = {}
        self.zero_since: dict[str, int] = {}
        self._kept: list[tuple[int, int, Tensor, float, Tensor | None]] = []  # batch, term, value, bound, place
        self._first: tuple[int, ...] = (-1, -1, *NOWHERE)  # batch, term, episode, step

    def add(self, term: str, advice: Callable[[], str]) -> None:
        """Watch one more term, before training.

        Args:
            term: its name; it is named before others that fail in the same batch.
            advice: called when it has failed; returns what led there and what to do.
        """
        self.terms = {name: index for index, name in enumerate([term, *self.terms])}
        self.advice[term] = advice

    def watch(self, term: str, value: Tensor, batch: int, place: Tensor | None = None, bound: float = math.inf) -> None:
        """Record a value of a batch, without reading it back.

        Args:
            term: one of the names.
            value: must be finite; of any shape.
            batch: number of the batch.
            place: episode and step (2,), long, at which it is not finite, if anywhere.
            bound: largest absolute value allowed.
        """
        value = value.detach()
        if value.numel():
            largest = value.abs().amax() if value.ndim else value
            self._kept.append((batch, self.terms[term], largest, bound, place))

    def watch_draws(self, samples: Samples, batch: int) -> None:
        """Record draws of a sampler, under the name ``draws``; for trajectories with the first bad episode and step."""
        value, place = finiteness(samples)
        self.watch("draws", value, batch, place)

    def check(self, saved: Callable[[], str] = str, here: bool = False) -> None:
        """Check what all processes have recorded since the last time, so that all stop together.

        Args:
            saved: called when something has failed; returns a sentence on what is saved, or nothing.
            here: check only this process's record, if another failure keeps it from waiting for the others.

        Raises:
            NonFiniteError: naming the earliest batch and its term, and the episode and step if they are known.
        """
        if self._first[0] < 0:
            self._first = self._look()
        self._kept = []
        every = [list(self._first)] if here else counts_later(list(self._first))()
        seen = [(batch, index, process) for process, (batch, index, *_) in enumerate(every) if batch >= 0]
        if not seen:
            return
        batch, index, process = min(seen)
        term, (episode, step) = list(self.terms)[index], every[process][2:]
        where = f" (the observation at step {step} of episode {episode})" if step >= 0 else ""
        who = f" of process {process}" if len(every) > 1 else ""
        advice = "Lower the learning rate, set clip_norm, or look at the data"
        if term in self.advice:
            advice = self.advice[term]()
        elif step >= 0:
            advice = "Look at the environment: its simulation blew up, or at the policy's actions"
        raise NonFiniteError(
            f"{term} was not finite at batch {batch}{where}{who}; training stops and nothing is saved from here on. "
            f"{saved()}{advice}"
        )

    def _look(self) -> tuple[int, ...]:
        """Batch, term, episode and step of the first bad value; -1 where there is none."""
        if not self._kept:
            return self._first
        largest = torch.cat([value[None] for _, _, value, _, _ in self._kept]).abs().tolist()
        names = list(self.terms)
        for (batch, term, *_), value in zip(self._kept, largest, strict=True):
            if value == 0:
                self.zero_since.setdefault(names[term], batch)
            else:
                self.zero_since.pop(names[term], None)
        bad = [
            (batch, term, place)
            for (batch, term, _, bound, place), value in zip(self._kept, largest, strict=True)
            if not (value < math.inf and value <= bound)  # nan is neither
        ]
        if not bad:
            return self._first
        batch, index, place = min(bad, key=lambda entry: entry[:2])
        return batch, index, *(NOWHERE if place is None else place.tolist())
