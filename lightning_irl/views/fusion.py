"""Draws of earlier rounds, reused under the mixture density of all the samplers that made them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.samples import Samples, device_of, join, plain, restored, to


class Fusion:
    r"""The samplers of the last rounds, frozen, and their draws.

    With K rounds kept beside the current one, the pooled draws come from :math:`\frac{1}{K+1} \sum_k q_k`, the fusion
    distribution, which is the density of every draw whichever sampler made it.

    Source: Finn et al. 2016, section 2.3, and the practice of guided cost learning.

    Args:
        rounds: K, the number of earlier rounds kept; 0 for none.
    """

    def __init__(self, rounds: int) -> None:
        if rounds < 0:
            raise ValueError(f"keep_rounds is {rounds}; it must not be negative")
        self.rounds = rounds
        self.kept: list[tuple[Sampler, Samples]] = []
        self._device: torch.device | None = None  # of the kept draws, once it is known

    def add(self, sampler: Sampler, samples: Samples) -> None:
        """Keep a copy of the current sampler and its draws; the oldest are dropped."""
        if self.rounds:
            self.kept = [*self.kept, (sampler.snapshot(), samples)][-self.rounds :]

    def pool(self, samples: Samples) -> Samples:
        """All draws: the kept ones, and the current round's."""
        self._follow(device_of(samples))
        return join([*(restored(draws, samples) for _, draws in self.kept), samples]) if self.kept else samples

    @torch.no_grad()
    def log_density(self, samples: Samples, log_q: Tensor) -> Tensor:
        """log density of the fusion distribution (B,), given that of the current sampler."""
        if not self.kept:
            return log_q
        self._follow(log_q.device)
        scores = [sampler.log_prob(samples).to(log_q.dtype) for sampler, _ in self.kept]
        return torch.logsumexp(torch.stack([log_q, *scores]), 0) - math.log(len(scores) + 1)

    def _follow(self, device: torch.device) -> None:
        """Move what is kept to the draws' device: a checkpoint is read onto the host, before the view moves."""
        if self._device != device:
            self.kept = [(sampler.to(device), to(draws, device)) for sampler, draws in self.kept]
            self._device = device

    def state(self) -> list[Any]:
        """The state for a checkpoint: plain tensors."""
        return [(sampler.state_dict(), plain(draws)) for sampler, draws in self.kept]

    def restore(self, state: list[Any], sampler: Sampler) -> None:
        """Restore the result of :meth:`state`, for a sampler of the same kind."""
        self.kept, self._device = [], None
        for parameters, draws in state[-self.rounds :] if self.rounds else []:
            copy = sampler.snapshot()
            copy.load_state_dict(parameters)
            self.kept.append((copy, draws))  # plain tensors until the first draws of this run give their type
