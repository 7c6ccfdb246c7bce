"""Linear feedback with Gaussian noise, step by step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_irl.policies.base import Policy
from lightning_irl.spaces.event import Event


class TimeVaryingLinearGaussianPolicy(Policy):
    r"""a = K_t s + k_t + noise, with covariance Sigma_t of its own at each step; in the units of observations and
    actions.

    The maximum-entropy policy of linear dynamics under a quadratic cost is one, and the controller of guided cost
    learning (Finn et al. 2016, ICML, arXiv 1603.00448, section 4.2). Learned are K_t, k_t and the Cholesky factor of
    Sigma_t.

    Args:
        event: of the trajectories; continuous actions without atoms.
        initial_std: standard deviation of each coordinate at the start, in units of the action; gains and offsets start
            at zero.

    Raises:
        ValueError: if ``initial_std`` is not above 0.

    Attributes:
        gains: K, of shape (T, d, n) for actions of d and observations of n coordinates.
        offsets: k, of shape (T, d).

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> policy = TimeVaryingLinearGaussianPolicy(make_trajectory_event(5, [3], action_shape=[2]))
        >>> policy.gains.shape, policy.covariances.shape
        (torch.Size([5, 2, 3]), torch.Size([5, 2, 2]))
    """

    base_measures = ("lebesgue",)
    has_rsample = True

    def __init__(self, event: Event, initial_std: float = 1.0) -> None:
        super().__init__(event)
        if not initial_std > 0:
            raise ValueError(f"initial_std is {initial_std}; it must be above 0")
        steps, size = self.horizon, self.action_size
        self.gains = nn.Parameter(torch.zeros(steps, size, math.prod(self.observation_shape)))
        self.offsets = nn.Parameter(torch.zeros(steps, size))
        self.log_diagonal = nn.Parameter(torch.full((steps, size), math.log(initial_std)))
        self.off_diagonal = nn.Parameter(torch.zeros(steps, size, size))

    @property
    def roots(self) -> Tensor:
        """Lower-triangular Cholesky factors of the covariances (T, d, d)."""
        return self.off_diagonal.tril(-1) + torch.diag_embed(self.log_diagonal.exp())

    @property
    def covariances(self) -> Tensor:
        """Sigma (T, d, d)."""
        return self.roots @ self.roots.mT

    @torch.no_grad()
    def assign(self, gains: Tensor, offsets: Tensor, covariances: Tensor) -> None:
        """Become a known controller.

        Args:
            gains: K (T, d, n).
            offsets: k (T, d).
            covariances: Sigma (T, d, d), positive definite.
        """
        roots = torch.linalg.cholesky(covariances)
        self.gains.copy_(gains)
        self.offsets.copy_(offsets)
        self.log_diagonal.copy_(roots.diagonal(dim1=-2, dim2=-1).log())
        self.off_diagonal.copy_(roots.tril(-1))

    def mean(self, observation: Tensor, time: Tensor) -> Tensor:
        """K_t s + k_t (..., d)."""
        features = observation.flatten(time.ndim)
        return _times(_at(self.gains, time), features) + _at(self.offsets, time)

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self.rsample(observation, time)

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(observation, time)
        noise = torch.randn_like(mean)
        action = mean + _times(_at(self.roots, time), noise)
        return action.reshape(*time.shape, *self.action_shape), self._log_density(noise, time)

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        difference = action.flatten(time.ndim) - self.mean(observation, time)
        unit = torch.eye(self.action_size, dtype=difference.dtype, device=difference.device)
        inverse = torch.linalg.solve_triangular(
            self.roots, unit, upper=False
        )  # T of them, not one for each step scored
        return self._log_density(_times(_at(inverse, time), difference), time)

    def _log_density(self, noise: Tensor, time: Tensor) -> Tensor:
        constant = self.log_diagonal.sum(-1) + self.action_size / 2 * math.log(2 * math.pi)
        return -noise.square().sum(-1) / 2 - _at(constant, time)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        with torch.no_grad():
            return self.mean(observation, time).reshape(*time.shape, *self.action_shape)


def _at(values: Tensor, time: Tensor) -> Tensor:
    """Values (T, *) at each of the steps (...); (..., *)."""
    return values.index_select(0, time.flatten()).view(*time.shape, *values.shape[1:])


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """(..., d, n) times (..., n); (..., d)."""
    return (matrices @ vectors[..., None]).squeeze(-1)
