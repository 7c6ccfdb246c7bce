"""Annealing in both directions along one path, which may bracket log Z."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from lightning_irl.costs.energy import CostFunction
from lightning_irl.partition.annealed import WHAT_THE_REVERSE_STARTED_FROM, StartedFrom, annealed_run
from lightning_irl.partition.estimate import CONFIDENCE_95, PartitionEstimate
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event


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
