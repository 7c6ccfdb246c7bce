"""The values of log Z that training uses, as estimates that do not certify.

Both treat demonstrations as draws of the model. They equal log Z only where model and data agree, which they cannot
check: until then they are biased, in spite of a perfect effective sample size and a small standard error.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_irl.objectives import mixture_log_z, optimal_log_z
from lightning_irl.partition.diagnostics import effective_sample_size, log_mean_with_error, pareto_k_hat
from lightning_irl.partition.estimate import PartitionEstimate

REASON = "treats demonstrations as draws of the model"


@torch.no_grad()
def discriminator(
    demo_cost: Tensor, demo_log_q: Tensor, sample_cost: Tensor, sample_log_q: Tensor
) -> PartitionEstimate:
    r"""The log_z at the discriminator's optimum, the root of :math:`E_p[1 - D] = E_q[D]` (section 3.2, fact 1).

    The error is the sandwich of that equation, :math:`\mathrm{se}^2 = \mathrm{var}(F) / F'^2` with
    :math:`F = \log E_p[1 - D] - \log E_q[D]`: it covers the finite numbers of demonstrations (N,) and draws (M,), not
    the bias.

    Args:
        demo_cost: costs of demonstrations (N,), already divided by the temperature.
        demo_log_q: log q of demonstrations (N,).
        sample_cost: costs of draws of q (M,).
        sample_log_q: log q of draws (M,).

    Returns:
        An estimate with ``certifies`` and ``reliable`` False; ``ess`` is of the weaker side of the equation.
    """
    demo_cost, demo_log_q = demo_cost.to(torch.float64), demo_log_q.to(torch.float64)
    sample_cost, sample_log_q = sample_cost.to(torch.float64), sample_log_q.to(torch.float64)
    log_z = float(optimal_log_z(demo_cost, demo_log_q, sample_cost, sample_log_q))
    demo_logits, sample_logits = -demo_cost - demo_log_q - log_z, -sample_cost - sample_log_q - log_z
    demo, sample = log_mean_with_error(logsigmoid(-demo_logits)), log_mean_with_error(logsigmoid(sample_logits))
    # d log E_p[1-D] / d log_z is the mean of D under weights 1-D, and likewise for E_q[D].
    slope = float(
        (torch.softmax(logsigmoid(-demo_logits), 0) * torch.sigmoid(demo_logits)).sum()
        + (torch.softmax(logsigmoid(sample_logits), 0) * torch.sigmoid(-sample_logits)).sum()
    )
    stderr = math.hypot(demo.stderr, sample.stderr) / slope if slope > 0 else math.inf
    ess = min(effective_sample_size(logsigmoid(-demo_logits)), effective_sample_size(logsigmoid(sample_logits)))
    return PartitionEstimate(
        log_z, stderr, ess, math.nan, "discriminator", len(demo_cost) + len(sample_cost), False, False, REASON
    )


@torch.no_grad()
def mixture(demo_cost: Tensor, sample_cost: Tensor, demo_log_mu: Tensor, sample_log_mu: Tensor) -> PartitionEstimate:
    r"""Guided cost learning's estimate (section 2.3), :math:`\log E_\mu[e^{-c} / \hat\mu]` with half the weight on each
    side.

    Args:
        demo_cost: costs of demonstrations (N,), already divided by the temperature.
        sample_cost: costs of draws of q (M,).
        demo_log_mu: log of 1/2 p_hat + 1/2 q at demonstrations (N,).
        sample_log_mu: the same at draws (M,).

    Returns:
        An estimate with ``certifies`` and ``reliable`` False: it would be consistent with the demonstrations' true
        density as p_hat, which nobody has.
    """
    demo = -demo_cost.to(torch.float64) - demo_log_mu.to(torch.float64)
    sample = -sample_cost.to(torch.float64) - sample_log_mu.to(torch.float64)
    log_z = float(mixture_log_z(-demo, -sample, torch.zeros_like(demo), torch.zeros_like(sample)))
    errors = [
        math.exp(side.value - math.log(2) - log_z) * side.stderr
        for side in (log_mean_with_error(demo), log_mean_with_error(sample))
        if side.value > -math.inf
    ]
    # Means are over each side, so a draw counts by the size of the other one too.
    weights = torch.cat([demo - math.log(len(demo)), sample - math.log(len(sample))])
    return PartitionEstimate(
        log_z,
        math.hypot(*errors),
        effective_sample_size(weights),
        pareto_k_hat(weights),
        "mixture",
        len(demo) + len(sample),
        False,
        False,
        REASON,
    )
