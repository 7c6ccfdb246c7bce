"""A penalty on the constant of a cost, which no loss holds."""

from __future__ import annotations

from torch import Tensor

from lightning_irl.costs.energy import Energy
from lightning_irl.processes import gather_each
from lightning_irl.regularisers.base import Regulariser
from lightning_irl.spaces.samples import Samples, count, join


class CostOffset(Regulariser):
    r"""((E_p[f] + E_-[f]) / 2)^2, f being the trainable part of c/T (:meth:`lightning_irl.costs.Cost.learned`).

    The second mean is over the negative samples: draws of q, or ends of chains.

    exp(-c)/Z is the same for c and c + a, so nothing in a loss of the model holds a, and the noise of its gradient
    carries it away. That costs nothing until it meets a bound: of a :class:`~lightning_irl.costs.TiltedCost`, where its
    slope is zero and the cost stops learning; of chains' energies; of floating point. Unlike
    :class:`~lightning_irl.regularisers.EnergyMagnitude` it does not flatten the cost: where a constant of f is free its
    minimum is 0 at every model, so the model that is learned is the same. This library's own; what it measured is in
    docs/measured.md.

    Args:
        event: what one sample looks like; any kind.
        weight: of the term, in 1/nats.

    Example:
        >>> import torch
        >>> from lightning_irl.spaces.event import make_event
        >>> regulariser = CostOffset(make_event("point", [1]), weight=0.5)
        >>> regulariser(lambda x: x.sum(-1), torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0]]))  # (2 + 4) / 2 is 3
        tensor(4.5000)
    """

    def departure(self) -> str:
        return f"{super().departure()}, which holds its constant; where that is free, the best model is the same"

    def penalty(self, energy: Energy, demonstrations: Samples, samples: Samples) -> Tensor:
        costs = energy.learned(join([demonstrations, samples]))
        demo_cost, sample_cost = gather_each(*costs.split([count(demonstrations), count(samples)]))
        return ((demo_cost.mean() + sample_cost.mean()) / 2).square()
