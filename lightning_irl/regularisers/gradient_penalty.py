"""A penalty on the gradient of the cost with respect to samples."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lightning_irl.costs.energy import Energy
from lightning_irl.processes import gather
from lightning_irl.regularisers.base import Regulariser
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.space import space_of

Place = Literal["demonstrations", "draws", "between"]


def between(demonstrations: Tensor, samples: Tensor) -> Tensor:
    """A point on the line between each demonstration and a draw, uniformly; as many as there are of the fewer."""
    num = min(len(demonstrations), len(samples))
    demonstrations, samples = demonstrations[:num], samples[:num]
    share = torch.rand(num, *[1] * (samples.dim() - 1), dtype=samples.dtype, device=samples.device)
    return demonstrations.lerp(samples, share)


PLACES = {
    "demonstrations": lambda demonstrations, samples: demonstrations,
    "draws": lambda demonstrations, samples: samples,
    "between": between,
}


class GradientPenalty(Regulariser):
    r"""E[(|grad_x c| - target)^2], c over the temperature.

    At demonstrations with target 0 it is R1 with half its gamma as ``weight``, at draws R2 (Mescheder, Geiger and
    Nowozin 2018, arXiv 1801.04406); in between with target 1 that of Gulrajani et al. (2017, arXiv 1704.00028).

    Of a discriminator that knows log q, it penalises the cost alone. It needs a second derivative of the cost. The
    gradient is with respect to the data as served, so it scales with the inverse of their scale.

    Args:
        event: what one sample looks like; points or images.
        weight: of the term.
        at: where the slope is taken: ``demonstrations``, ``draws``, or uniformly on lines ``between`` both.
        target: the norm that gradients are drawn to, 0 or 1.

    Raises:
        ValueError: on trajectories, whose actions may be discrete and whose states cannot be moved; or if an option is
            not allowed.

    Example:
        >>> import torch
        >>> from lightning_irl.spaces.event import make_event
        >>> regulariser = GradientPenalty(make_event("point", [2]), weight=0.5)
        >>> points = torch.tensor([[3.0, 4.0]])
        >>> regulariser(lambda x: x.square().sum(-1), points, torch.zeros(1, 2)).detach()  # |2 x|^2 / 2
        tensor(50.)
    """

    needs_sample_gradient = True

    def __init__(self, event: Event, weight: float, at: Place = "demonstrations", target: float = 0.0) -> None:
        super().__init__(event, weight)
        if space_of(event).has_steps:
            raise ValueError(
                "GradientPenalty differentiates the cost by its samples, but these are trajectories; "
                "use EnergyMagnitude, or remove it"
            )
        if at not in PLACES:
            raise ValueError(f"at is {at!r}; allowed: {', '.join(PLACES)}")
        if target not in (0, 1):
            raise ValueError(f"target is {target}; allowed: 0, 1")
        self.at, self.target = at, target

    @property
    def name(self) -> str:
        return f"{super().name}_{self.at}"

    def penalty(self, energy: Energy, demonstrations: Samples, samples: Samples) -> Tensor:
        points = PLACES[self.at](demonstrations, samples).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(energy(points).sum(), points, create_graph=True)
        # without a target no root is taken, whose own slope is infinite where the cost is flat
        if not self.target:
            return gather(slopes.flatten(1).square().sum(-1)).mean()
        return gather((slopes.flatten(1).norm(dim=-1) - self.target).square()).mean()
