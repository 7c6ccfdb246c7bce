"""Losses of the cost from f-divergences; the paper's two losses are members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from lightning_irl.objectives import log_mean_exp, optimal_log_z
from lightning_irl.pair import Pair
from lightning_irl.processes import gather_each
from lightning_irl.spaces.event import Event
from lightning_irl.views.losses import CostLoss, Found, Given


class Divergence(NamedTuple):
    """The parts of f that its variational bound needs, as functions of the log ratio r, with u = exp(r).

    Attributes:
        slope: f'(u); the bound adds its mean over demonstrations.
        conjugate: f*(f'(u)) = u f'(u) - f(u); the bound subtracts its mean over draws.
        log_z: the log Z that maximises the bound, a scalar, from the log weights -c/T - log q of demonstrations (N,)
            and of draws (M,).
    """

    slope: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    log_z: Callable[[Tensor, Tensor], Tensor]


DIVERGENCES = {
    "forward_kl": Divergence(  # f(u) = u log u
        slope=lambda r: 1 + r,
        conjugate=torch.exp,
        log_z=lambda demo, sample: log_mean_exp(sample),
    ),
    "reverse_kl": Divergence(  # f(u) = -log u
        slope=lambda r: -torch.exp(-r),
        conjugate=lambda r: r - 1,
        log_z=lambda demo, sample: -log_mean_exp(-demo),
    ),
    "pearson": Divergence(  # f(u) = (u - 1)^2
        slope=lambda r: 2 * torch.expm1(r),
        conjugate=lambda r: torch.expm1(2 * r),
        log_z=lambda demo, sample: log_mean_exp(2 * sample) - log_mean_exp(demo),
    ),
    "squared_hellinger": Divergence(  # f(u) = (sqrt(u) - 1)^2
        slope=lambda r: -torch.expm1(-r / 2),
        conjugate=lambda r: torch.expm1(r / 2),
        log_z=lambda demo, sample: log_mean_exp(sample / 2) - log_mean_exp(-demo / 2),
    ),
    "jensen_shannon": Divergence(  # f(u) = u log u - (u + 1) log(u + 1)
        slope=logsigmoid,
        conjugate=softplus,
        log_z=lambda demo, sample: optimal_log_z(-demo, torch.zeros_like(demo), -sample, torch.zeros_like(sample)),
    ),
}


class FDivergence(CostLoss):
    r"""Minus the variational bound of an f-divergence of the demonstrations p from the sampler q, at the paper's D.

    .. math:: D_f(p \| q) \ge E_p[f'(u)] - E_q[f^*(f'(u))], \qquad u = \frac{\exp(-c/T)/Z}{q}

    The bound is tight at u = p/q, that is where exp(-c/T)/Z is p, for any sampler with a density. log Z is solved for
    each batch, in closed form except for ``jensen_shannon``. Two members are the paper's own: ``jensen_shannon`` is the
    special discriminator's loss (section 3.1), and ``forward_kl`` has the gradient of L_cost with importance weights
    (section 2.3). ``squared_hellinger`` grows with the square root of the weights and so tolerates a poor sampler;
    ``pearson`` grows with their square.

    Source: Nowozin, Cseke and Tomioka, "f-GAN: training generative neural samplers using variational divergence
    minimization" (2016), arXiv 1606.00709, with the discriminator of the paper in place of a free one.

    Args:
        event: what one sample looks like.
        divergence: ``forward_kl``, ``reverse_kl``, ``pearson``, ``squared_hellinger`` or ``jensen_shannon``.

    Raises:
        ValueError: if the divergence is unknown, or the sampler has no density.
    """

    def __init__(
        self,
        event: Event,
        divergence: Literal[
            "forward_kl", "reverse_kl", "pearson", "squared_hellinger", "jensen_shannon"
        ] = "squared_hellinger",
    ) -> None:
        super().__init__(event)
        if divergence not in DIVERGENCES:
            raise ValueError(f"divergence is {divergence!r}; allowed: {', '.join(DIVERGENCES)}")
        self.divergence = divergence
        self.scored_by = {f"divergence={divergence}": "use EBM with negative_phase=importance"}

    def check(self, pair: Pair) -> None:
        pair.require_density(f"divergence={self.divergence}")

    def departures(self) -> list[str]:
        if self.divergence in ("forward_kl", "jensen_shannon"):
            return []
        return [f"divergence is {self.divergence}: neither the GAN's (jensen_shannon) nor maximum likelihood's"]

    def forward(self, pair: Pair, given: Given) -> Found:
        slope, conjugate, log_z_of = DIVERGENCES[self.divergence]
        demo_cost, sample_cost = pair.energies(given.demonstrations, given.samples)
        log_q = pair.log_q(given.samples) if given.log_q is None else given.log_q
        demo, sample = gather_each(-demo_cost - pair.log_q(given.demonstrations), -sample_cost - log_q)
        log_z = log_z_of(demo.detach(), sample.detach())
        loss = conjugate(sample - log_z).mean() - slope(demo - log_z).mean()
        return Found(loss, given.samples, log_z)
