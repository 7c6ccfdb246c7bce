"""Distributions of one pixel's level, given a network's outputs."""

from __future__ import annotations

import abc

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

MIN_LOG_SCALE = -7.0  # of a logistic, on images from -1 to 1 (Salimans et al. 2017)
START_SCALE = (
    0.4  # of all logistics together at the start, when each covers its share of [-1, 1]: 0.99 of the largest entropy
)


def one_of(probabilities: Tensor) -> Tensor:
    """An index (B,) drawn by each row of probabilities (B, n), number for number as ``torch.multinomial`` draws it.

    That function first reads back whether the probabilities are finite, and so waits for the device at every pixel.
    """
    return (probabilities / torch.empty_like(probabilities).exponential_()).argmax(-1)


class PixelLikelihood(abc.ABC):
    """A family of distributions over levels 0 .. n - 1.

    Args:
        levels: n.

    Attributes:
        outputs: parameters of one pixel's distribution.
    """

    outputs: int

    def __init__(self, levels: int) -> None:
        self.levels = levels

    @abc.abstractmethod
    def start(self) -> Tensor:
        """Parameters (outputs,) of a broad distribution."""

    @abc.abstractmethod
    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        """log probability of levels (...), long, given parameters (..., outputs); (...), in nats."""

    @abc.abstractmethod
    def sample(self, parameters: Tensor) -> Tensor:
        """Levels (B,), long, given parameters (B, outputs)."""


class Categorical(PixelLikelihood):
    """A probability for each level, by softmax: no order among levels is assumed."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.outputs = levels

    def start(self) -> Tensor:
        return torch.zeros(self.levels)

    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        return parameters.log_softmax(-1).gather(-1, levels[..., None]).squeeze(-1)

    def sample(self, parameters: Tensor) -> Tensor:
        return one_of(parameters.softmax(-1))


class DiscretisedLogistics(PixelLikelihood):
    r"""A mixture of logistic distributions on the line, each level's probability being the mass of its part of [-1, 1].

    Salimans et al. 2017 (PixelCNN++, arXiv 1701.05517). The first level also has all mass below, the last all mass
    above. With a and b the standardised edges of a level,

    .. math:: \sigma(b) - \sigma(a) = \sigma(b) \, \sigma(-a) \, (1 - e^{a - b}),

    which loses no digits in the tails.

    Args:
        levels: n.
        components: number of logistics.
    """

    def __init__(self, levels: int, components: int) -> None:
        super().__init__(levels)
        self.components, self.outputs = components, 3 * components

    def start(self) -> Tensor:
        places = (2 * torch.arange(self.components) + 1) / self.components - 1
        scales = torch.full((self.components,), START_SCALE / self.components)
        return torch.cat([torch.zeros(self.components), places, scales.log()])

    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        logits, means, log_scales = self._split(parameters)
        low = (2 * levels.to(means.dtype) / self.levels - 1)[..., None]
        precision = (-log_scales).exp()
        below, width = (low - means) * precision, 2 / self.levels * precision
        above = below + width
        inside = logsigmoid(above) + logsigmoid(-below) + (-torch.expm1(-width)).log()
        is_first, is_last = (levels == 0)[..., None], (levels == self.levels - 1)[..., None]
        log_mass = torch.where(is_first, logsigmoid(above), torch.where(is_last, logsigmoid(-below), inside))
        return torch.logsumexp(logits.log_softmax(-1) + log_mass, -1)

    def sample(self, parameters: Tensor) -> Tensor:
        logits, means, log_scales = self._split(parameters)
        component = one_of(logits.softmax(-1))[..., None]
        mean, scale = means.gather(-1, component).squeeze(-1), log_scales.gather(-1, component).squeeze(-1).exp()
        drawn = mean + scale * torch.logit(torch.rand_like(mean))
        return ((drawn + 1) / 2 * self.levels).floor().clamp(0, self.levels - 1).long()

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, means, log_scales = parameters.chunk(3, -1)
        return logits, means, log_scales.clamp(min=MIN_LOG_SCALE)
