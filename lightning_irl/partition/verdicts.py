"""Which estimates of log Z can be believed: each is checked against the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_irl.partition.diagnostics import log_mean_with_error
from lightning_irl.partition.draws import ModelDraws
from lightning_irl.partition.estimate import CONFIDENCE_95, PartitionEstimate
from lightning_irl.partition.estimator import Estimator
from lightning_irl.partition.estimators import ESTIMATORS

# A pair of honest estimates differs by more than this many joint errors once in 370 times; a report makes about six
# pairs.
CONTRADICTION = 3.0
# An unbiased estimate of Z exceeds 100 Z less than once in 100 times, whatever its weights (Markov's inequality).
MARKOV_MARGIN = math.log(100.0)
# With fewer effective draws a standard error says nothing, and only Markov's inequality is left.
NOISY_ESS = 20.0
# An estimate is doubted if more than this share of the model's mass lies beyond all weights it has seen.
UNSEEN_SHARE = 0.02
# With this many chains there, the standard error of an annealed estimate accounts for such mass.
MIN_REACHED = 10


def pool(repeated: Sequence[PartitionEstimate]) -> PartitionEstimate:
    r"""One estimate of independent repetitions: the log of the mean of their Z.

    Its standard error is the larger of two: that propagated from the repetitions' own errors, and that of their spread,
    by the delta method. If the spread exceeds what their own errors allow (99.9 % of a chi-squared distribution), those
    errors are too small and the estimate is not reliable.

    Args:
        repeated: estimates by one method.

    Raises:
        ValueError: if there are none.
    """
    first = repeated[0]
    values = torch.tensor([estimate.log_z for estimate in repeated], dtype=torch.float64)
    own = torch.tensor([estimate.stderr for estimate in repeated], dtype=torch.float64)
    number = len(repeated)
    mean = log_mean_with_error(values)
    weights = torch.softmax(values, 0)
    claimed = float((weights * own).square().sum().sqrt())
    doubts = [estimate.reason for estimate in repeated if not estimate.reliable and estimate.certifies][:1]
    if number > 1 and math.isfinite(claimed):
        from scipy.special import gammaincinv  # slow to import

        spread = float(((values - values.mean()) / own).square().sum())
        if spread > 2 * float(gammaincinv((number - 1) / 2, 0.999)):  # the quantile of chi-squared
            doubts.append(
                f"{number} repetitions spread by {float(values.std()):.2g} nats, more than their own errors allow"
            )
    return replace(
        first,
        log_z=mean.value,
        stderr=max(claimed, mean.stderr) if number > 1 else first.stderr,
        ess=sum(estimate.ess for estimate in repeated),
        k_hat=max(estimate.k_hat for estimate in repeated),
        num_samples=sum(estimate.num_samples for estimate in repeated),
        reliable=first.certifies and not doubts,
        reason="; ".join(doubts) if doubts else first.reason,
    )


def reconcile(
    estimates: Sequence[PartitionEstimate], estimators: Mapping[str, Estimator] = ESTIMATORS
) -> list[PartitionEstimate]:
    """Call unreliable what another estimate contradicts.

    Only estimates that certify take part; ``discriminator`` and ``mixture`` neither judge nor are judged. Two reliable
    ones that differ by more than three joint standard errors contradict each other, and

    - quadrature (an estimator that ``is_exact``) is believed against any other;
    - otherwise the lower one is called unreliable, because what an estimate fails to see makes it low;
    - the higher one too, unless its estimator ``is_unbiased`` (importance, annealed) or a third one agrees with it: a
      bridge between wrong draws can err to either side.

    An unbiased estimate too noisy to be reliable still contradicts one below it: by three joint errors with 20
    effective draws, by 4.6 nats with fewer (Markov's inequality). Where no reliable estimate comes from elsewhere than
    the sampler, the others keep their verdict and say so in ``reason``.

    Args:
        estimates: with distinct methods.
        estimators: of these methods, by name; a method that is not among them has no special standing.

    Returns:
        Copies in the same order.
    """
    exact = {name for name, one in estimators.items() if one.is_exact}
    unbiased = {name for name, one in estimators.items() if one.is_unbiased}
    beyond = {name for name, one in estimators.items() if one.looks_beyond_sampler}
    doubts: dict[str, list[str]] = {estimate.method: [] for estimate in estimates}
    judges = [estimate for estimate in estimates if estimate.certifies and estimate.reliable]
    for first in judges:
        for second in judges:
            if first.log_z <= second.log_z and first.method != second.method and _contradict(first, second):
                lower, higher = first, second
                if higher.method in exact or lower.method not in exact:
                    doubts[lower.method].append(_says(higher))
                if lower.method in exact or not _stands(higher, judges, exact | unbiased):
                    doubts[higher.method].append(_says(lower))
    for noisy in estimates:
        if not noisy.reliable and noisy.method in unbiased and math.isfinite(noisy.log_z):
            for judge in judges:
                if judge.method not in exact and noisy.log_z - judge.log_z > _chance_excess(noisy, judge):
                    doubts[judge.method].append(f"{_says(noisy)}, and chance alone does not take a lower bound there")
    checked = [_doubt(estimate, doubts[estimate.method]) for estimate in estimates]
    return _say_what_is_unconfirmed(checked, beyond)


def _contradict(first: PartitionEstimate, second: PartitionEstimate) -> bool:
    joint = math.hypot(first.stderr, second.stderr)
    return abs(first.log_z - second.log_z) > CONTRADICTION * joint + 1e-6 * max(abs(first.log_z), 1.0)


def _chance_excess(noisy: PartitionEstimate, judge: PartitionEstimate) -> float:
    """How far above ``judge`` an unbiased but unreliable estimate of Z may come by chance, in nats."""
    markov = MARKOV_MARGIN + CONFIDENCE_95 * judge.stderr
    # A large weight that lifts the estimate also lifts its own standard error.
    return min(markov, CONTRADICTION * math.hypot(noisy.stderr, judge.stderr)) if noisy.ess >= NOISY_ESS else markov


def _stands(estimate: PartitionEstimate, judges: list[PartitionEstimate], sound: set[str]) -> bool:
    """Whether ``estimate`` may be right although a lower one contradicts it."""
    if estimate.method in sound:
        return True
    return any(judge.method != estimate.method and not _contradict(judge, estimate) for judge in judges)


def _says(other: PartitionEstimate) -> str:
    return f"{other.method} says {other.log_z:.2f} +- {other.stderr:.2g}"


def _doubt(estimate: PartitionEstimate, doubts: list[str]) -> PartitionEstimate:
    if not doubts:
        return replace(estimate)
    own = [estimate.reason] if estimate.reason else []
    return replace(estimate, reliable=False, reason="; ".join([*own, "contradicted: " + ", ".join(doubts)]))


def _say_what_is_unconfirmed(estimates: list[PartitionEstimate], beyond: set[str]) -> list[PartitionEstimate]:
    looked = [estimate for estimate in estimates if estimate.method in beyond]
    if not looked or any(estimate.reliable for estimate in looked):
        return estimates
    limit = "no reliable estimate from a broad start confirms it: mass away from the sampler would go unseen"
    return [
        replace(estimate, reason="; ".join(filter(None, [estimate.reason, limit]))) if estimate.reliable else estimate
        for estimate in estimates
    ]


def doubt_unseen(
    estimate: PartitionEstimate, at_model: Tensor, draws: ModelDraws, largest: float, ends: Tensor | None = None
) -> PartitionEstimate:
    """Doubt an estimate if draws of the model from another start have larger weights than any of the sampler's own
    draws.

    If a share u of the model's mass is out of reach, the estimate is too low by -log(1 - u) nats, which its own error
    does not include. Annealed chains may reach that mass; with few of them there, their error is too small as well.

    Args:
        estimate: made from draws of the sampler.
        at_model: log ratios -c - log q (C, T) at ``draws``.
        draws: of the model, from a start that is not the sampler.
        largest: log weight of the sampler's own draws.
        ends: log ratios (B,) at the ends of chains, if chains made the estimate.
    """
    weights = torch.softmax(draws.log_weights, 0)
    share = (at_model > largest).double().mean(1)
    unseen = float((weights * share).sum())
    error = math.sqrt(float((weights * (share - unseen)).square().sum()))
    reached = 0 if ends is None else int((ends > largest).sum())
    if not estimate.reliable or unseen - CONTRADICTION * error <= UNSEEN_SHARE or reached >= MIN_REACHED:
        return estimate
    came = "none of its draws" if ends is None else f"{reached} of its {len(ends)} chains"
    reason = f"{unseen:.0%} of the model's mass, found by annealed_broad, lies where {came} came"
    return replace(estimate, reliable=False, reason="; ".join(filter(None, [estimate.reason, reason])))
