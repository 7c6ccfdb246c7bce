"""Distances between two sets of images or of their features, and of images to their nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics.classification import BinaryAUROC
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_kernel

PIECE = 1024  # rows of a matrix of distances made at once

Kernel = Callable[[Tensor, Tensor], Tensor]  # (N, d) and (M, d) to (N, M)


class AsGiven(nn.Module):
    """Stands for the network that torchmetrics asks for, given features that have been computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(first: Tensor, second: Tensor) -> Tensor:
    r"""Squared Frechet distance of two Gaussians with the means and covariances of two sets of features.

    .. math:: |m_1 - m_2|^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})

    Biased upward, the more so the fewer samples: numbers are comparable only at equal counts.

    Args:
        first: features (N, F).
        second: features (M, F).

    Returns:
        A scalar in the features' unit squared, float64.

    Source:
        Heusel et al. 2017, arXiv 1706.08500; computed by torchmetrics.

    Example:
        >>> features = torch.randn(50, 3, dtype=torch.float64)
        >>> round(frechet_distance(features, features + 1).item(), 6)
        3.0
    """
    metric = FrechetInceptionDistance(feature=AsGiven(first.shape[1]), normalize=True, sync_on_compute=False)
    metric = metric.to(first.device)
    metric.update(first.double(), real=True)
    metric.update(second.double(), real=False)
    return metric.compute()


class Discrepancy(NamedTuple):
    """A squared maximum mean discrepancy with its error.

    Attributes:
        value: unbiased estimate, a scalar; below 0 by chance where the sets have one distribution.
        stderr: its standard error, a scalar.
    """

    value: Tensor
    stderr: Tensor


def discrepancy(first: Tensor, second: Tensor, kernel: Kernel) -> Discrepancy:
    r"""Squared maximum mean discrepancy of two sets, without bias (Gretton et al. 2012, JMLR 13, equation 3).

    .. math:: E[k(x, x')] + E[k(y, y')] - 2 E[k(x, y)], \quad x \neq x', y \neq y'

    The standard error is that of Hoeffding's decomposition to the second order, which alone is left where both sets
    have one distribution.

    Args:
        first: (N, d).
        second: (M, d).
        kernel: of two sets, (N, d) and (M, d) to (N, M).

    Raises:
        ValueError: if a set has fewer than two elements.

    Example:
        >>> points = torch.tensor([[0.0], [2.0]])
        >>> # with a linear kernel, the squared distance of means
        >>> found = discrepancy(points, points + 1, lambda first, second: first @ second.T)
        >>> found.value.item() # 1, less the means' own spread
        -1.0
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise ValueError(f"a discrepancy of {n} and {m} samples; it needs at least 2 of each")
    within_first, across, within_second = (
        kernel(left, right).double() for left, right in ((first, first), (first, second), (second, second))
    )
    for within in (within_first, within_second):
        within.fill_diagonal_(0)
    value = within_first.sum() / (n * (n - 1)) + within_second.sum() / (m * (m - 1)) - 2 * across.mean()
    rows, columns = within_first.sum(1) / (n - 1), within_second.sum(1) / (m - 1)
    first_order = (rows - across.mean(1)).var(), (columns - across.mean(0)).var()
    spread = _pair_variance(within_first, rows), _pair_variance(within_second, columns)
    centred = across - across.mean(1, keepdim=True) - across.mean(0) + across.mean()
    between = centred.square().mean()
    # the variance of an estimated mean over the other set is not the first order's own
    own = (
        (first_order[0] - spread[0] / n - between / m).clamp(min=0),
        (first_order[1] - spread[1] / m - between / n).clamp(min=0),
    )
    variance = 4 * own[0] / n + 4 * own[1] / m + 2 * spread[0] / n**2 + 2 * spread[1] / m**2 + 4 * between / (n * m)
    return Discrepancy(value, variance.sqrt())


def _pair_variance(within: Tensor, rows: Tensor) -> Tensor:
    """Variance of k(x, x') beyond what x and x' have each, from a matrix (N, N) with zeros on its diagonal, and its
    means (N,).
    """
    centred = within - rows[:, None] - rows + rows.mean()
    centred.fill_diagonal_(0)
    return centred.square().sum() / (len(rows) * (len(rows) - 1))


def polynomial_kernel(first: Tensor, second: Tensor) -> Tensor:
    """(x . y / d + 1)^3, that of the kernel distance of features (Binkowski et al. 2018, arXiv 1801.01401)."""
    return poly_kernel(first, second)


def gaussian_kernel(widths: Sequence[float]) -> Kernel:
    r"""The mean of :math:`\exp(-|x - y|^2 / (2 w^2))` over widths w."""

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        squares = torch.cdist(first, second).square()
        total = torch.zeros_like(squares)
        for width in widths:
            total += torch.exp(-squares / (2 * width**2))
        return total / len(widths)

    return kernel


def median_distance(samples: Tensor, most: int = 1000) -> float:
    """Median of the distances between the first samples (N, d): the heuristic width of a Gaussian kernel."""
    return float(torch.pdist(samples[:most]).median())


class Neighbours(NamedTuple):
    """Nearest neighbours of B samples.

    Attributes:
        distances: Euclidean, (B,).
        places: of each neighbour in the set searched, (B,).
    """

    distances: Tensor
    places: Tensor


def nearest(samples: Tensor, among: Tensor, skip: Tensor | None = None) -> Neighbours:
    """The nearest neighbour of each sample in a set.

    Args:
        samples: (B, d).
        among: (N, d).
        skip: for each sample one of the set to leave out (B,), such as the sample itself; None for
            none.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [5.0]])
        >>> nearest(points, points).distances.tolist(), nearest(points, points, torch.arange(3)).places.tolist()
        ([0.0, 0.0, 0.0], [1, 0, 1])
    """
    centre = among.mean(0)  # far from 0, many distances at a time lose digits
    places, centred = [], among - centre
    for start in range(0, len(samples), PIECE):
        distances = torch.cdist(samples[start : start + PIECE] - centre, centred)
        if skip is not None:
            distances.scatter_(1, skip[start : start + PIECE, None], torch.inf)
        places.append(distances.argmin(1))
    found = torch.cat(places)
    # the distance of what was found, once more: many at a time they are differences of large numbers
    return Neighbours((samples - among[found]).norm(dim=1), found)


def separation(inside: Tensor, outside: Tensor) -> Tensor:
    """Area under the ROC curve of a score that should be higher outside: P(outside > inside), ties counted half; 0.5 by
    chance.

    Args:
        inside: scores (N,) of any size, infinity included.
        outside: scores (M,).

    Returns:
        A scalar; NaN where a score is.

    Example:
        >>> separation(torch.tensor([900.0, 901.0]), torch.tensor([902.0, 900.5])).item()
        0.75
    """
    scores = torch.cat([inside, outside]).double()
    if bool(scores.isnan().any()):
        return scores.new_tensor(torch.nan)
    # Ranks, because torchmetrics squashes scores that are no probabilities by a sigmoid, which makes ties of large
    # ones.
    ranks = torch.unique(scores, return_inverse=True)[1].double() / len(scores)
    target = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))]).long().to(scores.device)
    metric = BinaryAUROC(sync_on_compute=False).to(scores.device)
    metric.update(ranks, target)
    return metric.compute()
