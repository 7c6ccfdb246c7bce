"""A mixture of any sampler with a broad one."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import Event


class DefensiveSampler(Sampler):
    r"""q = (1 - a) q_learned + a q_broad (defensive importance sampling, Hesterberg 1995), with its exact density.

    The cost is then trained wherever the broad part draws, and importance weights are bounded. Without it, mass of
    exp(-c) that neither data nor sampler reaches goes unnoticed. The share is fixed, so that draws stay differentiable.

    Args:
        event: what one sample looks like.
        sampler: factory of the trained sampler; it needs a density.
        share: a, the broad sampler's share, strictly between 0 and 1.
        width: of the :class:`~lightning_irl.samplers.broad.BroadSampler`, over the training data's scale.

    Raises:
        ValueError: if the share is not between 0 and 1, or the sampler has no density.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> from lightning_irl.samplers import GaussianSampler
        >>> DefensiveSampler(make_event("point", [2]), GaussianSampler).has_density
        True
    """

    def __init__(
        self, event: Event, sampler: Callable[[Event], Sampler], share: float = 0.05, width: float = 1.5
    ) -> None:
        super().__init__(event)
        if not 0 < share < 1:
            raise ValueError(f"DefensiveSampler share is {share}; it must be strictly between 0 and 1")
        self.learned, self.broad, self.share = sampler(event), BroadSampler(event, width), share
        if not self.learned.has_density:
            raise ValueError(f"DefensiveSampler needs a density, {type(self.learned).__name__} has none; use a flow")
        self.has_rsample = self.learned.has_rsample

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        samples = self._mix(self.learned.sample(num_samples)[0])
        return samples, self.log_prob(samples)

    def rsample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        samples = self._mix(self.learned.rsample(num_samples)[0])
        return samples, self.log_prob(samples)

    def log_prob(self, samples: Tensor) -> Tensor:
        learned = self.learned.log_prob(samples) + math.log1p(-self.share)
        return torch.logaddexp(learned, self.broad.log_prob(samples) + math.log(self.share))

    def learned_log_prob(self, samples: Tensor) -> Tensor:
        # Where the learned part has no mass, the mixture's likelihood is the broad part's and has no gradient to bring
        # it there.
        return self.learned.learned_log_prob(samples)

    def _mix(self, learned: Tensor) -> Tensor:
        # A regular comb, shifted by one uniform number: the number of broad draws is the share's, up to one, and each
        # place in the batch is broad with the share's probability, so that any part of the batch is draws of q too.
        comb = torch.arange(len(learned), device=learned.device) * self.share + torch.rand((), device=learned.device)
        is_broad = (comb.frac() < self.share).view(-1, *[1] * len(self.shape))
        return torch.where(is_broad, self.broad.sample(len(learned))[0], learned)
