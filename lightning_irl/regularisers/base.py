"""The contract of a regulariser: a term that a view adds to the cost's loss."""

from __future__ import annotations

import abc
import re

from torch import Tensor, nn

from lightning_irl.costs.energy import CostFunction, Energy, as_energy
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples


class Regulariser(nn.Module, abc.ABC):
    """A penalty on the cost, ``weight`` times a scalar; whatever it is, the sum is no longer the paper's objective.

    Args:
        event: what one sample looks like.
        weight: of the term.

    Attributes:
        needs_sample_gradient: whether it differentiates the cost by its samples, which torch.compile does not allow.

    Raises:
        ValueError: if the weight is not above 0.
    """

    needs_sample_gradient: bool = False

    def __init__(self, event: Event, weight: float) -> None:
        super().__init__()
        if weight <= 0:
            raise ValueError(
                f"weight of {type(self).__name__} is {weight}; it must be above 0, or remove the regulariser"
            )
        self.event, self.weight = event, weight

    @property
    def name(self) -> str:
        """What its term is logged as, after ``loss/``: the class in lower case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def departure(self) -> str:
        """What of the view is no longer the paper's objective, in a line."""
        return f"regulariser {type(self).__name__} with weight {self.weight}: the cost's loss has a term more"

    @abc.abstractmethod
    def penalty(self, energy: Energy, demonstrations: Samples, samples: Samples) -> Tensor:
        """The scalar that the weight multiplies.

        Args:
            energy: c/T of samples, differentiable.
            demonstrations: (N, *shape).
            samples: negative samples (M, *shape), constant: draws of the sampler, or ends of the chains that stand for
                the model.
        """

    def forward(self, energy: CostFunction, demonstrations: Samples, samples: Samples) -> Tensor:
        """The term, a scalar; arguments as of :meth:`penalty`."""
        return self.weight * self.penalty(as_energy(energy), demonstrations, samples)
