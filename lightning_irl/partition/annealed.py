"""Annealed importance sampling with Hamiltonian moves, forward and reverse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction
from lightning_irl.partition.diagnostics import effective_sample_size, log_mean_with_error, pareto_k_hat
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.passes import choose_starts, pass_forward, pass_reverse, summarise_reverse
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
    """The result of one annealing run: the estimate by the chains of all processes, and the chains of this one.

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

    In expectation it is a lower bound of log Z. Mass that no chain reaches is missing from the estimate, and nothing in
    the weights shows it: run it from the trained sampler *and* from a broad one.

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
        free, log_weights, acceptance = pass_forward(path, schedule, path.draw_start(num_chains), leapfrog_steps)
        weights = gather(log_weights)
        summary = log_mean_with_error(weights)
        ess, k_hat, origin = effective_sample_size(weights), pareto_k_hat(weights), ""
    else:
        if model_samples is None:
            raise ValueError("direction='reverse' starts from the model: give model_samples, and say what they are")
        free, offsets = choose_starts(path, model_samples, model_log_weights, num_chains)
        free, log_weights, acceptance = pass_reverse(path, schedule, free, leapfrog_steps)
        weights, offsets = gather_each(log_weights, offsets)
        summary, ess = summarise_reverse(weights, offsets)
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
