"""A record of the first non-finite value of each term, kept on the device so that no training step waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NonFiniteError(RuntimeError):
    """A loss or a gradient became NaN or infinite."""


class FiniteMonitor(nn.Module):
    """Remembers for each named term the first batch at which it was not finite.

    Args:
        terms: names of what is watched.
    """

    first_bad: Tensor

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__()
        self.terms = {term: index for index, term in enumerate(terms)}
        self.register_buffer("first_bad", torch.full((len(terms),), -1, dtype=torch.long), persistent=False)

    def watch(self, term: str, value: Tensor, batch: int) -> None:
        """Note ``batch`` if ``value`` (any shape) is not finite; reads nothing back."""
        entry = self.first_bad[self.terms[term]]
        is_new = ~torch.isfinite(value.detach()).all() & (entry < 0)
        entry.copy_(torch.where(is_new, batch, entry))

    def check(self) -> None:
        """Read the record.

        Raises:
            NonFiniteError: naming the earliest batch and the term.
        """
        bad = {term: int(self.first_bad[index]) for term, index in self.terms.items()}
        seen = {term: batch for term, batch in bad.items() if batch >= 0}
        if seen:
            term = min(seen, key=lambda name: seen[name])
            raise NonFiniteError(
                f"{term} was not finite at batch {seen[term]}; training stops and nothing is saved from here on. "
                "The last checkpoint before it is good. Lower the learning rate, set clip_norm, or look at the data"
            )
