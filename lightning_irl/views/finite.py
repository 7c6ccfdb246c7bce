"""A record of the first non-finite value of each term, kept on the device so that no training step waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightning_irl.processes import gather
from lightning_irl.samples import Samples


class NonFiniteError(RuntimeError):
    """A loss or a gradient became NaN or infinite."""


class FiniteMonitor(nn.Module):
    """Remembers for each named term the first batch at which it was not finite.

    Args:
        terms: names of what is watched; of two that fail in the same batch the earlier one is named.
    """

    first_bad: Tensor
    places: Tensor

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__()
        self.terms: dict[str, int] = {}
        self.advice: dict[str, Callable[[], str]] = {}
        self._watch_terms(terms)

    def add(self, term: str, advice: Callable[[], str]) -> None:
        """Watch one more term, before training.

        Args:
            term: its name; of two that fail in the same batch it comes first.
            advice: called when it failed: what led there, and what to do.
        """
        self._watch_terms([term, *self.terms])
        self.advice[term] = advice

    def _watch_terms(self, terms: Sequence[str]) -> None:
        self.terms = {term: index for index, term in enumerate(terms)}
        self.register_buffer("first_bad", torch.full((len(terms),), -1, dtype=torch.long), persistent=False)
        self.register_buffer("places", torch.full((len(terms), 2), -1, dtype=torch.long), persistent=False)

    def watch(self, term: str, value: Tensor, batch: int, place: Tensor | None = None) -> None:
        """Note ``batch`` if ``value`` (any shape) is not finite; reads nothing back.

        Args:
            term: one of the names.
            value: what must be finite.
            batch: number of the batch.
            place: episode and step (2,), long, at which it is not, if it is not.
        """
        entry = self.first_bad[self.terms[term]]
        is_new = ~torch.isfinite(value.detach()).all() & (entry < 0)
        entry.copy_(torch.where(is_new, batch, entry))
        if place is not None:
            kept = self.places[self.terms[term]]
            kept.copy_(torch.where(is_new, place, kept))

    def watch_draws(self, samples: Samples, batch: int) -> None:
        """The same for draws of a sampler, under the name ``draws``; of trajectories with the first bad episode and its step."""
        if isinstance(samples, Tensor):
            self.watch("draws", samples, batch)
            return
        is_bad = ~torch.isfinite(samples.observations).flatten(2).all(-1)  # type: ignore[attr-defined]
        first = is_bad.flatten().long().argmax()
        place = torch.stack([first // is_bad.shape[1], first % is_bad.shape[1]])
        self.watch("draws", torch.where(is_bad, torch.nan, 0.0), batch, place)

    def check(self) -> None:
        """Read the record of all processes, so that all stop together.

        Raises:
            NonFiniteError: naming the earliest batch and the term, and where it is known the episode and its step.
        """
        every, places = gather(self.first_bad[None]).tolist(), gather(self.places[None]).tolist()
        seen = [
            (batch, index, process)
            for process, row in enumerate(every)
            for index, batch in enumerate(row)
            if batch >= 0
        ]
        if not seen:
            return
        batch, index, process = min(seen)
        term, (episode, step) = list(self.terms)[index], places[process][index]
        where = f" (the observation at step {step} of episode {episode})" if step >= 0 else ""
        who = f" of process {process}" if len(every) > 1 else ""
        advice = "Lower the learning rate, set clip_norm, or look at the data"
        if term in self.advice:
            advice = self.advice[term]()
        elif step >= 0:
            advice = "Look at the environment: its simulation blew up, or at the policy's actions"
        raise NonFiniteError(
            f"{term} was not finite at batch {batch}{where}{who}; training stops and nothing is saved from here on. "
            f"The last checkpoint before it is good. {advice}"
        )
