"""Samplers whose draws are an invertible map of standard normal noise, with access to the base coordinates."""

from __future__ import annotations

import abc
import math
from itertools import chain

import torch
from torch import Tensor

from lightning_irl.samplers.base import Sampler


class Transport(Sampler):
    r"""q is the density of x = f(z), f invertible and z standard normal on R^d.

    .. math:: \log q(x) = \log N(f^{-1}(x); 0, I) + \log |\det \partial f^{-1} / \partial x|

    Chains, annealing and interpolation can work in z, where q is a standard normal whatever its shape in x.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> from lightning_irl.samplers import GaussianSampler
        >>> transport = GaussianSampler(make_event("point", [2], location=[1.0], scale=[3.0]))
        >>> samples, log_det = transport.from_base(torch.ones(1, 2))
        >>> samples.tolist(), round(log_det.exp().item(), 3)
        ([[4.0, 4.0]], 9.0)

    Attributes:
        is_one_pass: whether a draw takes one pass, and not one for each coordinate.
    """

    is_one_pass: bool = True

    @abc.abstractmethod
    def from_base(self, base: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``base`` (B, d) to samples.

        Returns:
            The samples (B, *shape) and log |d sample / d base| (B,), in nats.
        """

    @abc.abstractmethod
    def to_base(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``samples`` (B, *shape) to the base, the inverse of :meth:`from_base`.

        Returns:
            The base coordinates (B, d) and log |d base / d sample| (B,), in nats.
        """

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        return self.rsample(num_samples)

    def rsample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        like = next(chain(self.parameters(), self.buffers()))
        base = like.new_empty(num_samples, self.dimension).normal_()
        samples, log_det = self.from_base(base)
        return samples, standard_normal_log_prob(base) - log_det

    def log_prob(self, samples: Tensor) -> Tensor:
        base, log_det = self.to_base(samples)
        return standard_normal_log_prob(base) + log_det


def standard_normal_log_prob(base: Tensor) -> Tensor:
    """log N(base; 0, I) (B,) of ``base`` (B, d), in nats.

    Example:
        >>> round(standard_normal_log_prob(torch.zeros(1, 2)).exp().item() * 2 * math.pi, 4)
        1.0
    """
    return -base.square().sum(-1) / 2 - base.shape[-1] / 2 * math.log(2 * math.pi)
