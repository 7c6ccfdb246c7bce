"""Every estimate that applies, checked against every other."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_irl.costs.energy import CostFunction
from lightning_irl.partition.budget import Budget
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.estimator import Estimator
from lightning_irl.partition.importance import log_ratios
from lightning_irl.partition.methods import DEFAULT_METHODS, Method, applicable, estimators_of
from lightning_irl.partition.problem import Problem
from lightning_irl.partition.verdicts import doubt_unseen, pool, reconcile
from lightning_irl.processes import gather
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples


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
    methods: Sequence[Method] = DEFAULT_METHODS,
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
        methods: which to run, by name; or estimators of your own (:class:`Estimator`: a class, an instance, or its
            import path). The bridge needs one of the annealed ones. A mode that the sampler misses is found by
            ``annealed_broad`` or ``quadrature``; without them estimates are judged only where the sampler draws.
        repetitions: of everything, with fresh draws, chains and schedules; :func:`pool` makes one estimate a method of
            them, whose error is no less than what repeating shows.

    Returns:
        Estimates in the order of ``METHODS``, then those of your own.

    Raises:
        ValueError: if the sampler has no density, or a method is unknown.
    """
    budget = Budget(
        num_samples,
        num_chains,
        num_temperatures,
        leapfrog_steps,
        draws_per_chain,
        broad_width,
        batch_size,
        repetitions,
    )
    return estimate_within(budget, cost, sampler, event, demonstrations, methods)


def estimate_within(
    budget: Budget,
    cost: CostFunction,
    sampler: Sampler,
    event: Event | None = None,
    demonstrations: Samples | None = None,
    methods: Sequence[Method] = DEFAULT_METHODS,
) -> list[PartitionEstimate]:
    """:func:`estimate_all` within a budget; the other arguments are the same."""
    estimators = estimators_of(methods)
    reports = []
    for _ in range(budget.repetitions):
        problem = Problem(cost, sampler, event, demonstrations, budget)
        reports.append(report(problem, applicable(estimators, problem.event)))
    if len(reports) == 1:
        return reports[0]
    named = {estimator.name: estimator for estimator in estimators}
    return reconcile([pool(repeated) for repeated in zip(*reports, strict=True)], named)


def report(problem: Problem, estimators: Sequence[Estimator]) -> list[PartitionEstimate]:
    """Estimates of one problem by several estimators, each after those that it follows, reconciled.

    Raises:
        ValueError: if an estimator returns something else than an estimate by its name.
    """
    found: dict[str, PartitionEstimate] = {}
    by_name = {one.name: one for one in estimators}
    largest = float(problem.log_weights.max())  # q is drawn from first, whatever was asked for
    for certifies in (True, False):
        for name, one in by_name.items():
            lacks_demonstrations = one.needs_demonstrations and problem.demonstrations is None
            lacks_others = bool(one.follows) and not set(one.follows) & found.keys()
            if one.certifies == certifies and not lacks_demonstrations and not lacks_others:
                found[name] = _checked(one, one.estimate(problem, problem.budget))
        if certifies and problem.runs:
            _doubt_unseen(found, problem, by_name, largest)
    return reconcile([found[name] for name in by_name if name in found], by_name)


def _checked(estimator: Estimator, estimate: PartitionEstimate) -> PartitionEstimate:
    kind = type(estimator).__name__
    if not isinstance(estimate, PartitionEstimate):
        raise ValueError(f"estimator {kind} returned a {type(estimate).__name__}; it must return a PartitionEstimate")
    if estimate.method != estimator.name:
        raise ValueError(f"estimator {kind} returned an estimate by {estimate.method!r}; give method=self.name")
    return estimate


def _doubt_unseen(
    found: dict[str, PartitionEstimate], problem: Problem, by_name: dict[str, Estimator], largest: float
) -> None:
    """Doubt what was made from the sampler alone, where draws of the model from a broad start have larger weights."""
    at_model, draws = problem.at_model
    run = problem.trusted_run.estimate
    if not (by_name[run.method].looks_beyond_sampler and run.reliable):
        return
    for name, estimate in found.items():
        if by_name[name].is_unbiased and not by_name[name].looks_beyond_sampler:
            ends = None
            if name in problem.runs:
                samples = problem.runs[name].samples
                ends = gather(log_ratios(problem.energy, problem.sampler, samples, problem.budget.batch_size))
            found[name] = doubt_unseen(estimate, at_model, draws, largest, ends)
