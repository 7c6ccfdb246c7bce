"""Every estimate that applies, checked against every other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.objectives import mixture_log_density
from lightning_irl.partition.annealed import AnnealedRun, annealed_run
from lightning_irl.partition.bridge import bridge_log_ratios, model_log_ratios
from lightning_irl.partition.diagnostics import log_mean_exp
from lightning_irl.partition.draws import ModelDraws, continue_chains
from lightning_irl.partition.estimate import CONFIDENCE_95, PartitionEstimate
from lightning_irl.partition.importance import importance_log_weights, log_ratios, summarise_importance
from lightning_irl.partition.methods import DEFAULT_METHODS, METHODS, applicable, check_methods
from lightning_irl.partition.path import require_density
from lightning_irl.partition.quadrature import quadrature, quadrature_applies
from lightning_irl.partition.training import discriminator, mixture
from lightning_irl.processes import gather, gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, pieces

# A pair of honest estimates differs by more than this many joint errors once in 370 times; a report makes about six
# pairs.
CONTRADICTION = 3.0
# An unbiased estimate of Z exceeds 100 Z less than once in 100 times, whatever its weights (Markov's inequality).
MARKOV_MARGIN = math.log(100.0)
# With fewer effective draws a standard error says nothing, and only Markov's inequality is left.
NOISY_ESS = 20.0
UNBIASED = ("importance", "annealed", "annealed_broad")
# Share of the model's mass beyond all weights seen, above which an interval that does not know it is called wrong.
UNSEEN_SHARE = 0.02
# Chains that must have got there before an annealed estimate's own error can be taken to know it.
MIN_REACHED = 10


def estimate_all(
    cost: CostFunction,
    sampler: Sampler,
    event: Event | None = None,
    demonstrations: Samples | None = None,
    num_samples: int = 4096,
    *,
    num_chains: int = 256,
    num_temperatures: int = 200,
    leapfrog_steps: int = 4,
    draws_per_chain: int = 8,
    broad_width: float = 4.0,
    batch_size: int = 4096,
    methods: Sequence[str] = DEFAULT_METHODS,
    repetitions: int = 1,
) -> list[PartitionEstimate]:
    """Estimate log Z in every way that applies, and reconcile the results.

    For trajectories: ``importance`` and the training quantities. For images and points of discrete levels: the same,
    and as ``quadrature`` the exact sum over at most 2^20 states. Else ``quadrature`` for one or two coordinates;
    ``annealed`` from the sampler and ``annealed_broad`` from a broad start; ``annealed_reverse`` back to the sampler
    from where the chains of ``annealed`` have moved on to; ``bridge`` between the sampler and the model draws in which
    either annealing ended (the broad one, unless that failed); ``importance``; and, with demonstrations,
    ``discriminator`` and ``mixture`` (with the current model as p_hat).

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats; differentiable and
            deterministic.
        sampler: q, with a density.
        event: default the sampler's.
        demonstrations: N samples, for the training quantities only: nothing that certifies looks at them. With several
            processes each has the same.
        num_samples: draws of q, of each process: estimates are made of those of all.
        num_chains: chains of each annealing, of each process.
        num_temperatures: of each annealing.
        leapfrog_steps: of every move.
        draws_per_chain: model draws that each chain gives to the bridge.
        broad_width: standard deviation of the broad start over the event's scale; unused on a box.
        batch_size: samples evaluated at once.
        methods: which to run; the bridge needs one of the annealed ones. What finds a mode that the sampler misses is
            ``annealed_broad`` or ``quadrature``: without them the rest can only be judged by what the sampler sees.
        repetitions: of everything, with fresh draws, chains and schedules; :func:`pool` makes one estimate a method of
            them, whose error is no less than what repeating shows.

    Returns:
        Estimates in the order of ``METHODS``.

    Raises:
        ValueError: if the sampler has no density, or a method is unknown.
    """
    if repetitions < 1:
        raise ValueError(f"repetitions is {repetitions}; it must be at least 1")
    if repetitions > 1:
        rounds = [
            estimate_all(
                cost,
                sampler,
                event,
                demonstrations,
                num_samples,
                num_chains=num_chains,
                num_temperatures=num_temperatures,
                leapfrog_steps=leapfrog_steps,
                draws_per_chain=draws_per_chain,
                broad_width=broad_width,
                batch_size=batch_size,
                methods=methods,
            )
            for _ in range(repetitions)
        ]
        return reconcile([pool(repeated) for repeated in zip(*rounds, strict=True)])
    check_methods(methods)
    require_density(sampler)
    event = sampler.event if event is None else event
    methods = applicable(methods, event)
    log_weights = importance_log_weights(cost, sampler, num_samples, batch_size)
    found = {"importance": summarise_importance(log_weights)}
    if "quadrature" in methods and quadrature_applies(event):
        found["quadrature"] = quadrature(cost, event, batch_size=batch_size)
    runs = {}
    for name in ("annealed_broad", "annealed"):
        if name in methods:
            broad = name == "annealed_broad"
            with torch.inference_mode(False):  # a buffer made in inference mode could not be differentiated through
                start = BroadSampler(event, width=broad_width).to(log_weights.device) if broad else sampler
            runs[name] = annealed_run(cost, start, event, num_chains, num_temperatures, leapfrog_steps, name=name)
            found[name] = runs[name].estimate
    if runs:
        trusted = next((run for run in runs.values() if run.estimate.reliable), next(iter(runs.values())))
        draws = continue_chains(trusted, draws_per_chain, leapfrog_steps)
        at_model, everyone = model_log_ratios(cost, sampler, draws, batch_size)
        found["bridge"] = bridge_log_ratios(log_weights, at_model, everyone)
        if "annealed" in runs and "annealed_reverse" in methods:
            found["annealed_reverse"] = _reversed(cost, sampler, event, runs["annealed"], draws, leapfrog_steps)
        if trusted.estimate.method == "annealed_broad" and trusted.estimate.reliable:
            largest = float(log_weights.max())
            found["importance"] = _check_unseen(found["importance"], at_model, everyone, largest)
            if "annealed" in runs:
                ends = gather(log_ratios(cost, sampler, runs["annealed"].samples, batch_size))
                found["annealed"] = _check_unseen(found["annealed"], at_model, everyone, largest, ends)
    if demonstrations is not None and {"discriminator", "mixture"} & set(methods):
        for estimate in _training_quantities(cost, sampler, demonstrations, num_samples, batch_size):
            found[estimate.method] = estimate
    return reconcile([found[name] for name in METHODS if name in found and name in methods])


def _reversed(
    cost: CostFunction, sampler: Sampler, event: Event, run: AnnealedRun, draws: ModelDraws, leapfrog_steps: int
) -> PartitionEstimate:
    """Back along the schedule of a forward run, from the last draws of chains at the model."""
    return annealed_run(
        cost,
        sampler,
        event,
        len(draws.log_weights),
        leapfrog_steps=leapfrog_steps,
        direction="reverse",
        model_samples=draws.samples[:, -1],
        model_log_weights=draws.log_weights,
        model_samples_are="chains",
        schedule=run.schedule,
    ).estimate


def pool(repeated: Sequence[PartitionEstimate]) -> PartitionEstimate:
    r"""One estimate of independent repetitions: the log of the mean of their Z.

    Its standard error is the larger of what the repetitions' own errors make and what their spread makes, the latter by
    the delta method. Where they spread by more than their own errors allow (a chi-square's 99.9 %), those errors did
    not know something and the estimate is not reliable.

    Args:
        repeated: estimates by one method.

    Raises:
        ValueError: if there are none.
    """
    first = repeated[0]
    values = torch.tensor([estimate.log_z for estimate in repeated], dtype=torch.float64)
    own = torch.tensor([estimate.stderr for estimate in repeated], dtype=torch.float64)
    number = len(repeated)
    mean = log_mean_exp(values)
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


def reconcile(estimates: Sequence[PartitionEstimate]) -> list[PartitionEstimate]:
    """Call unreliable what another estimate contradicts.

    Only estimates that certify take part; ``discriminator`` and ``mixture`` neither judge nor are judged. Two reliable
    ones that differ by more than three joint standard errors contradict each other, and

    - quadrature is believed against any other;
    - otherwise the lower one is called unreliable, because what an estimate fails to see makes it low;
    - the higher one too, unless it estimates Z without bias (importance, annealed) or a third one agrees with it: a
      bridge between wrong draws can err to either side.

    An unbiased estimate too noisy to be reliable still contradicts one below it: by three joint errors with 20
    effective draws, by 4.6 nats with fewer (Markov's inequality). Where no reliable estimate comes from elsewhere than
    the sampler, the others keep their verdict and say so in ``reason``.

    Args:
        estimates: with distinct methods.

    Returns:
        Copies in the same order.
    """
    doubts: dict[str, list[str]] = {estimate.method: [] for estimate in estimates}
    judges = [estimate for estimate in estimates if estimate.certifies and estimate.reliable]
    for first in judges:
        for second in judges:
            if first.log_z <= second.log_z and first.method != second.method and _contradict(first, second):
                lower, higher = first, second
                if higher.method == "quadrature" or lower.method != "quadrature":
                    doubts[lower.method].append(_says(higher))
                if lower.method == "quadrature" or not _stands(higher, judges):
                    doubts[higher.method].append(_says(lower))
    for noisy in estimates:
        if not noisy.reliable and noisy.method in UNBIASED and math.isfinite(noisy.log_z):
            for judge in judges:
                if judge.method != "quadrature" and noisy.log_z - judge.log_z > _chance_excess(noisy, judge):
                    doubts[judge.method].append(f"{_says(noisy)}, and chance alone does not take a lower bound there")
    checked = [_doubt(estimate, doubts[estimate.method]) for estimate in estimates]
    return _say_what_is_unconfirmed(checked)


def _contradict(first: PartitionEstimate, second: PartitionEstimate) -> bool:
    joint = math.hypot(first.stderr, second.stderr)
    return abs(first.log_z - second.log_z) > CONTRADICTION * joint + 1e-6 * max(abs(first.log_z), 1.0)


def _chance_excess(noisy: PartitionEstimate, judge: PartitionEstimate) -> float:
    """How far above ``judge`` an unbiased but unreliable estimate of Z may come by chance, in nats."""
    markov = MARKOV_MARGIN + CONFIDENCE_95 * judge.stderr
    # A large weight that lifts the estimate also lifts its own standard error.
    return min(markov, CONTRADICTION * math.hypot(noisy.stderr, judge.stderr)) if noisy.ess >= NOISY_ESS else markov


def _stands(estimate: PartitionEstimate, judges: list[PartitionEstimate]) -> bool:
    """Whether ``estimate`` may be right although a lower one contradicts it."""
    if estimate.method in UNBIASED or estimate.method == "quadrature":
        return True
    return any(judge.method != estimate.method and not _contradict(judge, estimate) for judge in judges)


def _says(other: PartitionEstimate) -> str:
    return f"{other.method} says {other.log_z:.2f} +- {other.stderr:.2g}"


def _doubt(estimate: PartitionEstimate, doubts: list[str]) -> PartitionEstimate:
    if not doubts:
        return replace(estimate)
    own = [estimate.reason] if estimate.reason else []
    return replace(estimate, reliable=False, reason="; ".join([*own, "contradicted: " + ", ".join(doubts)]))


def _say_what_is_unconfirmed(estimates: list[PartitionEstimate]) -> list[PartitionEstimate]:
    methods = {estimate.method for estimate in estimates if estimate.reliable}
    if methods & {"quadrature", "annealed_broad"} or not {"quadrature", "annealed_broad"} & {
        e.method for e in estimates
    }:
        return estimates
    limit = "no reliable estimate from a broad start confirms it: mass away from the sampler would go unseen"
    return [
        replace(estimate, reason="; ".join(filter(None, [estimate.reason, limit]))) if estimate.reliable else estimate
        for estimate in estimates
    ]


def _check_unseen(
    estimate: PartitionEstimate, at_model: Tensor, draws: ModelDraws, largest: float, ends: Tensor | None = None
) -> PartitionEstimate:
    """Doubt an estimate when model draws from elsewhere have weights beyond all those of the sampler's own draws.

    With a share u of the model's mass out of sight, the estimate is low by -log(1 - u) nats, which its own error does
    not know. Annealed chains may get there, but an error that rests on a few of them knows no better.

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


@torch.no_grad()
def _training_quantities(
    cost: CostFunction, sampler: Sampler, demonstrations: Samples, num_samples: int, batch_size: int
) -> list[PartitionEstimate]:
    energy = as_energy(cost)
    samples, sample_log_q = sampler.sample(num_samples)
    assert sample_log_q is not None
    demo_cost = energy.in_pieces(demonstrations, batch_size)
    demo_log_q = torch.cat([sampler.log_prob(part).double() for part in pieces(demonstrations, batch_size)])
    sample_cost, sample_log_q = gather_each(energy.in_pieces(samples, batch_size), sample_log_q.double())
    solved = discriminator(demo_cost, demo_log_q, sample_cost, sample_log_q)
    demo_log_mu = mixture_log_density(-demo_cost - solved.log_z, demo_log_q)
    sample_log_mu = mixture_log_density(-sample_cost - solved.log_z, sample_log_q)
    return [solved, mixture(demo_cost, sample_cost, demo_log_mu, sample_log_mu)]
