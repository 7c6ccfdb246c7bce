"""A mixture of Gaussians with draws that are differentiable in everything, weights included."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_irl.limits import above, at_least
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.gaussian import BOX_SCALE
from lightning_irl.spaces.event import Event


class GaussianMixtureSampler(Sampler):
    r"""q(x) = sum_k w_k N(x; m_k, diag(s_k^2)); on a box, its sigmoid.

    A draw with its component held fixed has no gradient in the weights, so :meth:`rsample` differentiates implicitly
    (Figurnov, Mohamed and Mnih 2018, arXiv 1805.08498): with S(x) the conditional distribution functions of the
    coordinates in order, S(x) is uniform whatever the parameters, hence

    .. math:: dx/d\phi = -(\partial S/\partial x)^{-1} \, \partial S/\partial\phi.

    Args:
        event: what one sample looks like.
        components: number of Gaussians.
        width: spread of the means at the start, over the training data's scale; each Gaussian starts as wide.
    """

    def __init__(self, event: Event, components: int = 16, width: float = 1.0) -> None:
        super().__init__(event)
        self.space.require_continuous("GaussianMixtureSampler")
        at_least(1, "GaussianMixtureSampler ", components=components)
        above(0, "GaussianMixtureSampler ", width=width)
        self.support = self.space.support
        location, scale = self.space.location, self.space.scale
        if self.space.edges is not None:  # the middle of the box, in logits
            location, scale = torch.zeros(self.dimension), torch.full((self.dimension,), BOX_SCALE)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(location + width * scale * torch.randn(components, self.dimension))
        self.log_scales = nn.Parameter((width * scale).log().expand(components, -1).clone())

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        free = self._draw(num_samples)
        samples, log_det = self.support.constrain(free)
        return samples.view(num_samples, *self.shape), self._log_prob(free) - log_det

    def rsample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        free = self._differentiate(self._draw(num_samples))
        samples, log_det = self.support.constrain(free)
        return samples.view(num_samples, *self.shape), self._log_prob(free) - log_det

    def log_prob(self, samples: Tensor) -> Tensor:
        free, log_det = self.support.unconstrain(samples.flatten(1))
        return self._log_prob(free) + log_det

    @torch.no_grad()
    def _draw(self, num_samples: int) -> Tensor:
        component = torch.multinomial(self.logits.softmax(0), num_samples, replacement=True)
        means, scales = self.means[component], self.log_scales[component].exp()
        return means + scales * torch.randn_like(means)

    def _log_coordinates(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised coordinates and log densities of each under each component; both (B, K, d)."""
        standard = (free[:, None] - self.means) * (-self.log_scales).exp()
        return standard, -standard.square() / 2 - self.log_scales - math.log(2 * math.pi) / 2

    def _log_prob(self, free: Tensor) -> Tensor:
        _, log_coordinates = self._log_coordinates(free)
        return torch.logsumexp(self.logits.log_softmax(0) + log_coordinates.sum(-1), -1)

    def _differentiate(self, free: Tensor) -> Tensor:
        """The same draws (B, d), with their implicit gradient in the parameters."""
        standard, log_coordinates = self._log_coordinates(free)
        before = log_coordinates.cumsum(-1) - log_coordinates
        share = (self.logits.log_softmax(0)[:, None] + before).softmax(1)  # of each component given earlier coordinates
        below = torch.special.ndtr(standard)
        uniform = (share * below).sum(1)
        with torch.no_grad():
            slope = -standard * (-self.log_scales).exp()  # d log N_k / d x_e, for e before d
            jacobian = torch.einsum("bkd,bke->bde", share * (below - uniform[:, None]), slope).tril(-1)
            jacobian += torch.diag_embed((share * log_coordinates.exp()).sum(1))
        moved = torch.linalg.solve_triangular(jacobian, (uniform - uniform.detach())[..., None], upper=False)
        return free - moved.squeeze(-1)
