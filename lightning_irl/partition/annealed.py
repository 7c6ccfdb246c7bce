"""Annealed importance sampling with Hamiltonian moves, forward and reverse."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction
from lightning_irl.mcmc import hmc
from lightning_irl.partition.diagnostics import LogMean, effective_sample_size, log_mean_exp, pareto_k_hat
from lightning_irl.partition.estimate import CONFIDENCE_95, PartitionEstimate
from lightning_irl.partition.path import GeometricPath
from lightning_irl.partition.pilot import Schedule, pilot_schedule
from lightning_irl.processes import average, gather, gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event

Direction = Literal["forward", "reverse"]
StartedFrom = Literal["exact", "chains", "demonstrations"]
WHAT_THE_REVERSE_STARTED_FROM: dict[str, str] = {
    "exact": "exact draws of the model",
    "chains": "ends of forward chains",
    "demonstrations": "demonstrations, which are not draws of the model",
}
MIN_ESS = 40.0
MAX_K_HAT = 0.7
TAIL_MATTERS = 0.25
MIN_ACCEPTANCE = 0.3


@dataclass(frozen=True)
class AnnealedRun:
    """Everything one annealing run leaves behind: the estimate by the chains of all processes, and this one's own
    chains.

    Attributes:
        estimate: of log Z.
        log_weights: (C,) of the chains, float64, in nats. Forward, the ends with these weights are draws of the model.
        free: (C, d) ends of the chains, on R^d.
        samples: (C, *shape) the same as samples.
        path: what was annealed along.
        schedule: temperatures, step sizes and masses; its last entry moves at the model.
        acceptance: mean over chains and temperatures.
    """

    estimate: PartitionEstimate
    log_weights: Tensor
    free: Tensor
    samples: Tensor
    path: GeometricPath
    schedule: Schedule
    acceptance: float


class AnnealedBracket(NamedTuple):
    """Both directions along one path.

    Attributes:
        forward: log Z from below: its expectation is at most log Z.
        reverse: log Z from above, but only if it started from exact draws of the model.
        agree: whether the two intervals meet: neither is more than the joint 95 % error from the other.
        bracket: whether [forward, reverse] may be called a bracket: the reverse started from exact draws, and is not
            below the forward by more than the joint error. Never assumed.
        started_from: what the reverse started from, in words.
    """

    forward: PartitionEstimate
    reverse: PartitionEstimate
    agree: bool
    bracket: bool
    started_from: str


def annealed(
    cost: CostFunction,
    start: Sampler,
    event: Event | None = None,
    num_chains: int = 256,
    num_temperatures: int = 200,
    leapfrog_steps: int = 4,
    direction: Direction = "forward",
    *,
    model_samples: Tensor | None = None,
    model_samples_are: StartedFrom = "exact",
    name: str | None = None,
    target_acceptance: float = 0.8,
    schedule: Schedule | None = None,
) -> PartitionEstimate:
    r"""log Z by annealed importance sampling from a sampler.

    Chains start at exact draws of q and move along :math:`\pi_\beta \propto q^{1-\beta} e^{-\beta c}`:

    .. math:: \log w = \sum_k (\beta_k - \beta_{k-1}) \, [-c(x_{k-1}) - \log q(x_{k-1})], \qquad E[w] = Z

    It is a lower bound of log Z in expectation, and one that lies when it cannot see: mass that no chain reaches is
    missing from the estimate without a trace in its weights. Run it from the trained sampler *and* from a broad one.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, differentiable, deterministic (``eval``
            mode).
        start: q, with a density that can be differentiated at given samples.
        event: default the sampler's.
        num_chains: independent chains; the standard error comes from their spread.
        num_temperatures: K; log weights have a variance of about (thermodynamic length)^2 / K.
        leapfrog_steps: gradient evaluations per move, one move per temperature.
        direction: ``reverse`` anneals from the model to q and estimates log Z from above *if* it starts from exact
            draws.
        model_samples: (B, *shape) where the reverse starts; ``num_chains`` of them are taken at random if there are
            more.
        model_samples_are: ``exact`` draws of the model, ends of forward ``chains``, or ``demonstrations``; said in
            ``reason``.
        name: the method's name in the result; default ``annealed`` or ``annealed_reverse``.
        target_acceptance: of the moves, tuned by a pilot run that is thrown away.
        schedule: of an earlier run on the same path, instead of a pilot run.

    Returns:
        The estimate. It certifies, except in reverse from demonstrations.

    Raises:
        ValueError: if the sampler has no density, or the reverse has nothing to start from.

    Source: Neal, "Annealed importance sampling" (2001), arXiv physics/9803008; for the reverse, Grosse, Ghahramani and
    Adams, "Sandwiching the marginal likelihood using bidirectional Monte Carlo" (2015), arXiv 1511.02543.
    """
    return annealed_run(
        cost,
        start,
        event,
        num_chains,
        num_temperatures,
        leapfrog_steps,
        direction,
        model_samples=model_samples,
        model_samples_are=model_samples_are,
        name=name,
        target_acceptance=target_acceptance,
        schedule=schedule,
    ).estimate


def annealed_run(
    cost: CostFunction,
    start: Sampler,
    event: Event | None = None,
    num_chains: int = 256,
    num_temperatures: int = 200,
    leapfrog_steps: int = 4,
    direction: Direction = "forward",
    *,
    model_samples: Tensor | None = None,
    model_log_weights: Tensor | None = None,
    model_samples_are: StartedFrom = "exact",
    name: str | None = None,
    target_acceptance: float = 0.8,
    schedule: Schedule | None = None,
) -> AnnealedRun:
    """Like :func:`annealed`, returning the chains too: their ends are draws of the model.

    Args:
        model_log_weights: (B,) of ``model_samples``, for a reverse from the ends of forward chains.
    """
    if direction not in ("forward", "reverse"):
        raise ValueError(f"direction is {direction!r}; allowed: forward, reverse")
    path = GeometricPath(cost, start, event)
    if schedule is None:
        schedule = pilot_schedule(path, num_temperatures, leapfrog_steps, target_acceptance=target_acceptance)
    if direction == "forward":
        free, log_weights, acceptance = _forward(path, schedule, path.draw_start(num_chains), leapfrog_steps)
        weights = gather(log_weights)
        summary = log_mean_exp(weights)
        ess, k_hat, origin = effective_sample_size(weights), pareto_k_hat(weights), ""
    else:
        if model_samples is None:
            raise ValueError("direction='reverse' starts from the model: give model_samples, and say what they are")
        free, offsets = _choose(path, model_samples, model_log_weights, num_chains)
        free, log_weights, acceptance = _reverse(path, schedule, free, leapfrog_steps)
        weights, offsets = gather_each(log_weights, offsets)
        summary, ess = _reverse_summary(weights, offsets)
        k_hat = pareto_k_hat(weights + offsets)
        origin = f"reverse from {WHAT_THE_REVERSE_STARTED_FROM[model_samples_are]}"
    doubts = annealing_doubts(ess, k_hat, float(average(log_weights.new_tensor(acceptance))), len(weights), schedule)
    if not math.isfinite(summary.value):
        doubts = [f"{int((~torch.isfinite(weights)).sum())} of {len(weights)} log weights are not finite"]
    certifies = direction == "forward" or model_samples_are != "demonstrations"
    estimate = PartitionEstimate(
        log_z=summary.value,
        stderr=summary.stderr,
        ess=ess,
        k_hat=k_hat,
        method=name or ("annealed" if direction == "forward" else "annealed_reverse"),
        num_samples=len(weights),
        certifies=certifies,
        reliable=certifies and not doubts,
        reason="; ".join([origin, *doubts] if origin else doubts),
    )
    return AnnealedRun(estimate, log_weights, free, path.to_samples(free), path, schedule, acceptance)


def annealed_bracket(
    cost: CostFunction,
    start: Sampler,
    event: Event | None = None,
    num_chains: int = 256,
    num_temperatures: int = 200,
    leapfrog_steps: int = 4,
    *,
    model_samples: Tensor | None = None,
    model_samples_are: StartedFrom = "exact",
    target_acceptance: float = 0.8,
) -> AnnealedBracket:
    """Anneal in both directions on one schedule, and check whether the two bracket log Z.

    Args:
        model_samples: where the reverse starts; default the weighted ends of the forward chains, which see no mass that
            the forward did not, so that agreement proves little and ``bracket`` stays False.
        model_samples_are: what they are, if given.

    The other arguments are those of :func:`annealed`.
    """
    forward = annealed_run(
        cost, start, event, num_chains, num_temperatures, leapfrog_steps, target_acceptance=target_acceptance
    )
    given = model_samples is not None
    origin: StartedFrom = model_samples_are if given else "chains"
    reverse = annealed_run(
        cost,
        start,
        event,
        num_chains,
        leapfrog_steps=leapfrog_steps,
        direction="reverse",
        model_samples=model_samples if given else forward.samples,
        model_log_weights=None if given else forward.log_weights,
        model_samples_are=origin,
        schedule=forward.schedule,
    ).estimate
    joint = CONFIDENCE_95 * math.hypot(forward.estimate.stderr, reverse.stderr)
    gap = reverse.log_z - forward.estimate.log_z
    bracket = origin == "exact" and gap >= -joint
    if origin == "exact" and not bracket:
        reverse = replace(
            reverse, reliable=False, reason=f"{reverse.reason}; it is below the forward estimate by {-gap:.2g} nats"
        )
    words = WHAT_THE_REVERSE_STARTED_FROM[origin]
    return AnnealedBracket(forward.estimate, reverse, abs(gap) <= joint, bracket, words)


def annealing_doubts(ess: float, k_hat: float, acceptance: float, num_chains: int, schedule: Schedule) -> list[str]:
    """Why the interval of an annealed estimate should not be believed; empty if nothing is wrong."""
    doubts = []
    if not ess >= MIN_ESS:
        advice = math.ceil(schedule.length**2)
        more = f"num_temperatures >= {advice}" if advice > len(schedule.betas) - 1 else "more chains"
        doubts.append(f"effective sample size {ess:.0f} of {num_chains} chains is below {MIN_ESS:.0f}: give {more}")
    # Chains in two modes of different width have two clusters of weights, which look like a heavy tail but are none.
    if not k_hat <= MAX_K_HAT and not ess >= TAIL_MATTERS * num_chains:
        doubts.append(f"k_hat {k_hat:.2f} is above {MAX_K_HAT}: a few chains carry the estimate")
    if not acceptance >= MIN_ACCEPTANCE:
        doubts.append(f"moves are accepted {acceptance:.0%} of the time: chains do not follow the path")
    return doubts


def _forward(
    path: GeometricPath, schedule: Schedule, free: Tensor, leapfrog_steps: int
) -> tuple[Tensor, Tensor, float]:
    """Ends (C, d), log weights (C,) and mean acceptance of chains from q to the model."""
    log_weights = torch.zeros(len(free), dtype=torch.float64, device=free.device)
    acceptance = torch.zeros((), device=free.device)
    for index in range(1, len(schedule.betas)):
        beta = schedule.betas[index]
        state, slope = path.state(free, beta)
        log_weights += (beta - schedule.betas[index - 1]) * slope
        state, info = hmc.step(
            state, path.potential(beta), schedule.step_sizes[index], leapfrog_steps, schedule.masses[index]
        )
        free = state.position
        acceptance += info.acceptance.mean()
    return free, log_weights, float(acceptance) / (len(schedule.betas) - 1)


def _reverse(
    path: GeometricPath, schedule: Schedule, free: Tensor, leapfrog_steps: int
) -> tuple[Tensor, Tensor, float]:
    """Ends (C, d), log weights of 1/Z (C,) and mean acceptance of the forward run's exact time reversal."""
    log_weights = torch.zeros(len(free), dtype=torch.float64, device=free.device)
    acceptance = torch.zeros((), device=free.device)
    for index in range(len(schedule.betas) - 1, 0, -1):
        beta = schedule.betas[index]
        state, _ = path.state(free, beta)
        state, info = hmc.step(
            state, path.potential(beta), schedule.step_sizes[index], leapfrog_steps, schedule.masses[index]
        )
        free = state.position
        with torch.no_grad():
            log_q, log_model = path.ends(free)
        log_weights -= (beta - schedule.betas[index - 1]) * (log_model.to(torch.float64) - log_q.to(torch.float64))
        acceptance += info.acceptance.mean()
    return free, log_weights, float(acceptance) / (len(schedule.betas) - 1)


def _choose(path: GeometricPath, samples: Tensor, log_weights: Tensor | None, num_chains: int) -> tuple[Tensor, Tensor]:
    """Starts (C, d) of the reverse and their log weights (C,), taken at random without replacement."""
    chosen = torch.randperm(len(samples), device=samples.device)[:num_chains]
    offsets = torch.zeros(len(samples), dtype=torch.float64, device=samples.device)
    offsets = offsets if log_weights is None else log_weights.to(torch.float64)
    return path.to_position(samples[chosen]), offsets[chosen]


def _reverse_summary(log_weights: Tensor, offsets: Tensor) -> tuple[LogMean, float]:
    """log Z and effective sample size from weights of 1/Z at weighted starts, with the error of a ratio of means."""
    count = len(log_weights)
    together = log_weights + offsets
    value = float(torch.logsumexp(offsets, 0) - torch.logsumexp(together, 0))
    difference = torch.softmax(together, 0) - torch.softmax(offsets, 0)
    stderr = math.sqrt(float(difference.square().sum()) * count / (count - 1)) if count > 1 else math.nan
    return LogMean(value, stderr), min(effective_sample_size(together), effective_sample_size(offsets))
