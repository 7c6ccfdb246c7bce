"""The contract of an estimator of log Z."""

from __future__ import annotations

import abc

from lightning_irl.partition.budget import Budget
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.problem import Problem
from lightning_irl.spaces.event import Event


class Estimator(abc.ABC):
    """One way to estimate log Z.

    A subclass gives a :attr:`name` and :meth:`estimate`, and the attributes in which it differs from what is said here.

    Attributes:
        name: of its estimates; unique within a report, and the end of logged keys such as ``partition/log_z_<name>``.
        certifies: whether its estimates converge to log Z, so that they are compared with others that do.
        is_exact: whether it is believed against any other.
        is_unbiased: whether the expectation of its Z is Z; such an estimate is too high by chance only.
        looks_beyond_sampler: whether it finds mass that the sampler misses.
        needs_demonstrations: whether it is left out of a report without demonstrations.
        follows: methods whose results it uses; without at least one of them in the report it is left out.
        why_it_follows: what is missing without them, a clause.
    """

    name: str
    certifies: bool = True
    is_exact: bool = False
    is_unbiased: bool = False
    looks_beyond_sampler: bool = False
    needs_demonstrations: bool = False
    follows: tuple[str, ...] = ()
    why_it_follows: str = "it uses their results"

    def unsuited(self, event: Event) -> str:
        """Why it does not apply to samples of an event, a clause; empty where it applies."""
        return ""

    @abc.abstractmethod
    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        """Estimate log Z.

        Args:
            problem: energy, sampler, event and demonstrations, and what estimators share.
            budget: of this estimate; one repetition is asked for.

        Returns:
            An estimate whose ``method`` is :attr:`name`.
        """
