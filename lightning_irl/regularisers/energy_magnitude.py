"""A penalty on large costs."""

from __future__ import annotations

from torch import Tensor

from lightning_irl.costs.energy import Energy
from lightning_irl.processes import gather_each
from lightning_irl.regularisers.base import Regulariser
from lightning_irl.spaces.samples import Samples, count, join


class EnergyMagnitude(Regulariser):
    r"""E_p[f^2] + E_-[f^2], f being the trainable part of c/T: all of it, or the tilt of a tilted cost
    (Du and Mordatch 2019, arXiv 1903.08689).

    The second mean is over the negative samples: draws of q, or ends of chains, as in the source.

    Draws costs to zero, in particular the constant of a cost that nothing else holds: of losses that see only
    differences of costs, or log Z beside them.

    Args:
        event: what one sample looks like; any kind.
        weight: of the term, in 1/nats.

    Example:
        >>> import torch
        >>> from lightning_irl.spaces.event import make_event
        >>> regulariser = EnergyMagnitude(make_event("point", [1]), weight=0.5)
        >>> regulariser(lambda x: x.sum(-1), torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0]]))
        tensor(4.5000)
    """

    def penalty(self, energy: Energy, demonstrations: Samples, samples: Samples) -> Tensor:
        costs = energy.learned(join([demonstrations, samples]))
        demo_cost, sample_cost = gather_each(*costs.split([count(demonstrations), count(samples)]))
        return demo_cost.square().mean() + sample_cost.square().mean()
