"""Bridge sampling: Bennett's acceptance ratio between draws of the sampler and draws of the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction
from lightning_irl.partition.diagnostics import chain_blocks, chain_effective_size, split_r_hat
from lightning_irl.partition.draws import ModelDraws, as_model_draws, draw_model
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.importance import importance_log_weights, log_ratios
from lightning_irl.partition.path import require_density
from lightning_irl.processes import gather
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event

MIN_ESS = 40.0
MAX_R_HAT = 1.05
MAX_STDERR = 0.5
ITERATIONS = 200


def bridge(
    cost: CostFunction,
    sampler: Sampler,
    model_samples: Tensor | ModelDraws | None = None,
    num_samples: int = 4096,
    *,
    event: Event | None = None,
    batch_size: int = 4096,
) -> PartitionEstimate:
    r"""log Z from draws of q and draws of p_theta together, by the optimal bridge.

    .. math:: Z = \frac{E_q[\,e^{-c} / (s_p e^{-c} + s_q Z q)\,]}{E_{p_\theta}[\,q / (s_p e^{-c} + s_q Z q)\,]},
              \qquad s_p = \frac{n_p}{n_p + n_q} = 1 - s_q,

    iterated to its fixed point, with n_p the *effective* number of model draws. It needs an overlap of q and p_theta
    only, not that q covers p_theta: its averages are bounded. It is wrong where the model draws are not draws of the
    model: chains that have not forgotten a bad start, or that are all in one of several modes. Demonstrations are not
    draws of the model.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        sampler: q, with a density.
        model_samples: (N, *shape) independent draws of p_theta; (C, T, *shape) draws of C chains; or
            :class:`ModelDraws`, whose weights are taken into account. None: chains annealed from ``sampler`` and moved
            on.
        num_samples: draws of q.
        event: default the sampler's.
        batch_size: samples evaluated at once.

    Returns:
        The estimate; its error counts chains, not their correlated draws. ``ess`` is the smaller of the effective
        numbers of draws of either side.

    Raises:
        ValueError: if the sampler has no density, or model samples have the wrong shape.

    Sources: Bennett, "Efficient estimation of free energy differences from Monte Carlo data" (1976); Meng and Wong,
    "Simulating ratios of normalizing constants via a simple identity" (1996); Frühwirth-Schnatter, "Estimating marginal
    likelihoods for mixture and Markov switching models using bridge sampling techniques" (2004).
    """
    require_density(sampler)
    if model_samples is None:
        model_samples = draw_model(cost, sampler, event)
    draws = as_model_draws(model_samples, tuple((event or sampler.event)["shape"]))
    at_q = importance_log_weights(cost, sampler, num_samples, batch_size)
    return bridge_log_ratios(at_q, *model_log_ratios(cost, sampler, draws, batch_size))


def model_log_ratios(
    cost: CostFunction, sampler: Sampler, draws: ModelDraws, batch_size: int = 4096
) -> tuple[Tensor, ModelDraws]:
    """-c - log q at the chains of all processes (C, T), float64, in nats; and the draws with the weights (C,) of these
    chains.
    """
    own = log_ratios(cost, sampler, draws.samples.flatten(0, 1), batch_size).reshape(draws.samples.shape[:2])
    return gather(own), draws._replace(log_weights=gather(draws.log_weights))


def bridge_log_ratios(at_q: Tensor, at_p: Tensor, draws: ModelDraws) -> PartitionEstimate:
    """The estimate that log ratios -c - log q make: at draws of q (N,) and at draws of the model (C, T)."""
    if not (torch.isfinite(at_p).all() and (at_q < math.inf).all()):  # nan compares as False
        return _verdict(math.nan, math.nan, 0.0, len(at_q), ["log ratios are not finite"])
    chain_weights = torch.softmax(draws.log_weights, 0)
    log_z = float(torch.logsumexp(at_q, 0)) - math.log(len(at_q))
    if not math.isfinite(log_z):
        return _verdict(log_z, math.nan, 0.0, len(at_q), ["no draw of the sampler has weight"])
    effective = float(min(draws.ess, len(chain_weights)))
    for _ in range(2):  # the first pass finds how many draws the chains are worth, the second uses it
        share = effective / (effective + len(at_q))
        log_z, numerator, denominator = _fixed_point(at_q, at_p, chain_weights, log_z, share)
        relative_q = float(numerator.var()) / (len(numerator) * float(numerator.mean()) ** 2)
        relative_p = _relative_variance(denominator, chain_weights)
        spread = float(_weighted_variance(denominator, chain_weights))
        mean = float((denominator.mean(1) * chain_weights).sum())
        effective = max(spread / (mean**2 * relative_p), 1.0) if relative_p > 0 else float(at_p.numel())
        effective = min(effective, float(at_p.numel()))
    # Where the two sides barely touch a few draws make each mean: that is what the shares of the largest terms measure.
    touching_q = float(numerator.sum() ** 2 / numerator.square().sum())
    per_chain = denominator.mean(1) * chain_weights
    touching_p = float(per_chain.sum() ** 2 / per_chain.square().sum())
    # Few chains are blocks of their own draws, many are counted whole.
    if len(per_chain) < 32:
        touching_p = chain_effective_size(denominator)
    ess = min(touching_q, touching_p)
    stderr = math.sqrt(relative_q + relative_p)
    doubts = []
    if not ess >= MIN_ESS:
        side = "the sampler" if touching_q < touching_p else "the model"
        doubts.append(f"{ess:.0f} effective draws of {side} where the two overlap, below {MIN_ESS:.0f}")
    if not stderr <= MAX_STDERR:
        doubts.append(f"standard error {stderr:.2g} nats is too large for its own approximation")
    equal = bool((draws.log_weights == draws.log_weights[0]).all())
    r_hat = split_r_hat(at_p) if equal and at_p.shape[1] >= 16 else math.nan
    if r_hat > MAX_R_HAT:
        doubts.append(f"R-hat {r_hat:.2f} of the model's chains is above {MAX_R_HAT}: they have not mixed")
    return _verdict(log_z, stderr, ess, len(at_q) + len(per_chain), doubts)


def _fixed_point(
    at_q: Tensor, at_p: Tensor, chain_weights: Tensor, log_z: float, share: float
) -> tuple[float, Tensor, Tensor]:
    """log Z and, at it, the terms of the numerator (N,) and of the denominator (C, T), both scaled to at most 1."""
    odds = math.log(share) - math.log1p(-share)
    log_weights = (chain_weights.log()[:, None] - math.log(at_p.shape[1])).expand_as(at_p)
    for _ in range(ITERATIONS):
        log_numerator = torch.nn.functional.logsigmoid(at_q - log_z + odds)
        log_denominator = torch.nn.functional.logsigmoid(log_z - odds - at_p)
        change = (
            float(torch.logsumexp(log_numerator, 0) - torch.logsumexp(log_denominator + log_weights, (0, 1)))
            - math.log(len(at_q))
            - odds
        )
        log_z += change
        if abs(change) < 1e-10:
            break
    tops = log_numerator.max(), log_denominator.max()
    return log_z, (log_numerator - tops[0]).exp(), (log_denominator - tops[1]).exp()


def _relative_variance(terms: Tensor, chain_weights: Tensor) -> float:
    """Variance of the chains' weighted mean over its square; of blocks of equal weight, or of a ratio of means."""
    if bool((chain_weights == chain_weights[0]).all()):
        means = chain_blocks(terms).mean(1)
        return float(means.var()) / (len(means) * float(means.mean()) ** 2) if len(means) > 1 else math.inf
    means, count = terms.mean(1), len(chain_weights)
    mean = (means * chain_weights).sum()
    influence = chain_weights * (means - mean)
    return float(influence.square().sum() * count / (count - 1) / mean**2)


def _weighted_variance(terms: Tensor, chain_weights: Tensor) -> Tensor:
    mean = (terms.mean(1) * chain_weights).sum()
    return ((terms - mean).square().mean(1) * chain_weights).sum()


def _verdict(log_z: float, stderr: float, ess: float, num_samples: int, doubts: list[str]) -> PartitionEstimate:
    return PartitionEstimate(
        log_z,
        stderr,
        ess,
        math.nan,
        "bridge",
        num_samples,
        certifies=True,
        reliable=not doubts,
        reason="; ".join(doubts),
    )
