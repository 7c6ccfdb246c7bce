"""What an estimator of log Z returns."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE_95 = 1.96


@dataclass(frozen=True)
class PartitionEstimate:
    r"""An estimate of :math:`\log Z = \log \int e^{-c(x)} dx` with its error and its own verdict.

    Attributes:
        log_z: the estimate, in nats.
        stderr: its standard error, in nats; the 95 % interval is ``log_z +- 1.96 stderr``.
        ess: number of effective samples, an absolute count (not a share); nan where it does not apply.
        k_hat: shape of the Pareto tail of the weights (see :func:`pareto_k_hat`); nan where it does not apply.
        method: name of the estimator, unique within a report (``importance``, ``annealed``, ``annealed_broad``, ...).
        num_samples: independent draws, chains or grid points that were used.
        certifies: whether the estimator is consistent, so that a reliable value can be trusted as log Z. The training
            quantities (``discriminator``, ``mixture``) treat demonstrations as draws of the model and are not
            consistent.
        reliable: whether nothing seen contradicts the interval. One estimate alone cannot see mass that none of its
            draws reached; :func:`reconcile` compares several.
        reason: why it is not reliable, or what limits it; empty if there is nothing to say.
    """

    log_z: float
    stderr: float
    ess: float
    k_hat: float
    method: str
    num_samples: int
    certifies: bool
    reliable: bool
    reason: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, in nats."""
        return self.log_z - CONFIDENCE_95 * self.stderr, self.log_z + CONFIDENCE_95 * self.stderr
