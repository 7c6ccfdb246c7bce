"""How far a set of log weights or of chains can be trusted.

Everything is computed in float64, and log weights are shifted by their maximum first, so that values of +-1e4 nats are
safe. A log weight of ``-inf`` is a weight of zero and allowed; ``nan`` and ``+inf`` are not, and make the results
``nan``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class LogMean(NamedTuple):
    """The logarithm of a mean with its standard error.

    Attributes:
        value: log of the mean of the weights, in nats.
        stderr: its standard error by the delta method, in nats.
    """

    value: float
    stderr: float


def _shifted(log_weights: Tensor) -> tuple[Tensor, float]:
    """Flat float64 log weights minus their maximum, and the maximum (nan if unusable, -inf if all weights are zero)."""
    flat = log_weights.detach().reshape(-1).to(torch.float64)
    if len(flat) == 0:
        raise ValueError("no log weights were given; at least one is needed")
    maximum = float(flat.max())  # torch's max is nan if any value is
    if math.isnan(maximum) or maximum == math.inf:
        return flat, math.nan
    return (flat - maximum if maximum > -math.inf else flat), maximum


def log_mean_with_error(log_weights: Tensor) -> LogMean:
    r"""log of the mean of weights given by their logarithms, with its standard error.

    .. math:: \log \tfrac1n \sum_i w_i, \qquad \mathrm{se}^2 = \frac{\widehat{\mathrm{var}}(w)}{n\,\bar w^2}

    The error is the delta method's and assumes independent weights of finite variance: see :func:`pareto_k_hat`.

    Args:
        log_weights: any shape, in nats.

    Raises:
        ValueError: if there are no weights.

    Example:
        >>> round(log_mean_with_error(torch.tensor([1e4, 1e4])).value, 6)
        10000.0
    """
    shifted, maximum = _shifted(log_weights)
    if not math.isfinite(maximum):
        return LogMean(maximum, math.nan)
    weights = shifted.exp()
    mean = weights.mean()
    value = maximum + float(mean.log())
    stderr = float(weights.std() / mean) / math.sqrt(len(weights)) if len(weights) > 1 else math.nan
    return LogMean(value, stderr)


def effective_sample_size(log_weights: Tensor) -> float:
    r"""Number of equally weighted draws with the same variance, :math:`(\sum w)^2 / \sum w^2` (Kong 1992).

    Blind to mass that no draw has reached: a sampler that misses a mode has a perfect value.

    Args:
        log_weights: any shape, in nats.

    Returns:
        A count between 1 and the number of weights; 0 if all weights are zero, nan if one is not a number.

    Example:
        >>> effective_sample_size(torch.full((8,), -1e4))
        8.0
    """
    shifted, maximum = _shifted(log_weights)
    if maximum == -math.inf:
        return 0.0
    if math.isnan(maximum):
        return math.nan
    weights = shifted.exp()
    return float(weights.sum() ** 2 / weights.square().sum())


def pareto_k_hat(log_weights: Tensor) -> float:
    r"""Shape k of a generalised Pareto distribution fitted to the largest weights.

    Weights have :math:`\lfloor 1/k \rfloor` finite moments: above 0.5 their variance is infinite and a standard error
    means little, above 0.7 the mean itself converges too slowly to be of use.

    Args:
        log_weights: any shape, in nats. The tail is the largest min(n / 5, 3 sqrt(n)) of them.

    Returns:
        k; -1 (the shape of a uniform tail) where the largest weights are all equal; ``inf`` where fewer than five
        weights form the tail; nan if a weight is not a number.

    Sources: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling", JMLR 25 (2024),
    arXiv 1507.02646; Zhang and Stephens, "A new and efficient estimation method for the generalized Pareto
    distribution", Technometrics 51 (2009).
    """
    shifted, maximum = _shifted(log_weights)
    if math.isnan(maximum):
        return math.nan
    count = len(shifted)
    tail_size = math.ceil(min(0.2 * count, 3 * math.sqrt(count)))
    if maximum == -math.inf or tail_size < 5 or count <= tail_size:
        return math.inf
    ordered = shifted.sort().values
    cutoff = max(float(ordered[-tail_size - 1]), math.log(torch.finfo(torch.float64).tiny))
    exceedances = torch.exp(ordered[ordered > cutoff]) - math.exp(cutoff)
    if cutoff > -1e-12:
        return -1.0
    if len(exceedances) < 5:
        return math.inf
    return _generalised_pareto_shape(exceedances)


def _generalised_pareto_shape(exceedances: Tensor) -> float:
    """Zhang and Stephens' estimate from sorted positive exceedances (n,), with Vehtari's weak prior at 0.5."""
    count = len(exceedances)
    grid_size = 30 + int(math.sqrt(count))
    steps = torch.arange(1, grid_size + 1, dtype=torch.float64, device=exceedances.device)
    quartile = exceedances[int(count / 4 + 0.5) - 1]
    theta = 1 / exceedances[-1] + (1 - torch.sqrt(grid_size / (steps - 0.5))) / (3 * quartile)
    shapes = torch.log1p(-theta[:, None] * exceedances).mean(1)
    profile = count * (torch.log(-theta / shapes) - shapes - 1)
    theta_mean = (torch.softmax(profile, 0) * theta).sum()
    shape = float(torch.log1p(-theta_mean * exceedances).mean())
    return (count * shape + 10 * 0.5) / (count + 10)


def split_r_hat(values: Tensor) -> float:
    r"""Do chains agree with each other, and each with its own second half? 1 if they do.

    .. math:: \hat R = \sqrt{\frac{(n-1)/n\,W + B/n}{W}}

    with W the variance within half chains and B/n that between their means. Values above 1.05 say that chains have not
    forgotten where they started. Needs long chains: for many short ones it is large although every chain is stationary.

    Args:
        values: (chains, draws) of any scalar of the state, at least four draws each.

    Returns:
        R-hat; nan where there are fewer than four draws; 1 if nothing varies.

    Source: Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and localization: an improved
    R-hat", Bayesian Analysis 16 (2021), arXiv 1903.08008.
    """
    values = values.detach().to(torch.float64)
    half = values.shape[1] // 2
    if half < 2:
        return math.nan
    halves = torch.cat([values[:, :half], values[:, -half:]])
    within = float(halves.var(1).mean())
    between = float(halves.mean(1).var())
    if within == 0:
        return 1.0 if between == 0 else math.inf
    return math.sqrt((half - 1) / half + between / within)


def chain_effective_size(values: Tensor) -> float:
    r"""Number of independent draws that would give the mean of ``values`` with the same error.

    .. math:: n_{\mathrm{eff}} = \mathrm{var}(x) / \mathrm{var}(\bar x)

    with the variance of the mean from block means: chains are independent blocks, and where there are fewer than 32 of
    them each is cut into consecutive pieces, which must be longer than the autocorrelation.

    Args:
        values: (chains, draws) of any scalar of the state.

    Returns:
        A count, at most twice the number of values (antithetic chains can beat independent draws).
    """
    values = values.detach().to(torch.float64)
    blocks = chain_blocks(values)
    variance = float(values.var())
    if variance == 0 or len(blocks) < 2:
        return float(values.numel())
    of_the_mean = float(blocks.mean(1).var()) / len(blocks)
    return min(variance / of_the_mean, 2.0 * values.numel()) if of_the_mean > 0 else 2.0 * values.numel()


def chain_blocks(values: Tensor, at_least: int = 32) -> Tensor:
    """Cut (chains, draws) into at least ``at_least`` blocks (blocks, length), whole chains where there are enough."""
    chains, draws = values.shape
    pieces = min(math.ceil(at_least / chains), draws)
    length = draws // pieces
    return values[:, : pieces * length].reshape(chains * pieces, length)
