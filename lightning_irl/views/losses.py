"""The contracts of a view's two losses: what each is given, and what it finds. A loss never sees the view."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_irl import processes
from lightning_irl.learners.base import Learner, Objective
from lightning_irl.pair import Pair
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, count


class Given(NamedTuple):
    """What a batch gives a loss; of this process, at the view's level.

    Attributes:
        demonstrations: N samples of p.
        samples: M draws of the sampler, constant. There may be none where a cost's loss needs none
            (:attr:`CostLoss.needs_draws`). For a sampler's loss: the samples whose cost was raised last.
        log_q: log q of the draws (M,), in nats, constant; None without a density.
        log_z: log Z as the view knows it, a scalar in nats; NaN where it is not known. A parameter where the loss
            learns it (:attr:`CostLoss.learns_log_z`).
        num_samples: draws in each step of the sampler.
        wants_log_z: whether log Z is wanted though no step needs it: where it is logged, and in the first batch.
    """

    demonstrations: Samples
    samples: Samples
    log_q: Tensor | None
    log_z: Tensor
    num_samples: int = 0
    wants_log_z: bool = True


class Found(NamedTuple):
    """What a cost's loss finds.

    Attributes:
        loss: a scalar in nats.
        negatives: the samples (M, *shape) whose cost it raises: the draws, or the ends of chains.
        log_z: its log Z, a scalar in nats, constant; None where it has none, or where the view's own is right.
        scalars: what else to log, by key.
        watched: values that must be finite and at most a bound, by name; (value of any shape, bound).
    """

    loss: Tensor
    negatives: Samples
    log_z: Tensor | None = None
    scalars: Mapping[str, Tensor] = {}
    watched: Mapping[str, tuple[Tensor, float]] = {}


class CostLoss(nn.Module, abc.ABC):
    """What the cost descends.

    It is a module of the view, ``cost_objective.*`` in a checkpoint. It sees the samples of this process; what must be
    known of all is gathered (:func:`lightning_irl.processes.gather_each`).

    Args:
        event: what one sample looks like.

    Attributes:
        has_model: whether exp(-c/T)/Z is a model under this loss, given a sampler that can score it.
        scored_by: options by which it needs log q of demonstrations, each with what to do without.
        needs_draws: whether it needs draws of the sampler.
        learns_log_z: whether log Z is a parameter of the view.
        fixed_sampler: what training with a fixed sampler is called, as the end of a sentence; empty for no name.
        advice: for each name in :attr:`Found.watched`, what to do when it is not good; called after it has failed.
    """

    has_model: bool = True
    needs_draws: bool = True
    learns_log_z: bool = False
    fixed_sampler: str = ""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event
        self.scored_by: dict[str, str] = {}
        self.advice: dict[str, Callable[[], str]] = {}

    def check(self, pair: Pair) -> None:
        """Refuse a pair that this loss cannot train.

        Raises:
            ValueError: naming what does not fit and what to do.
        """

    @abc.abstractmethod
    def forward(self, pair: Pair, given: Given) -> Found:
        """The loss of a batch; its gradient is that of one process holding the union of all processes' batches."""

    def departures(self) -> list[str]:
        """What in this loss is not the paper's, a line each."""
        return []

    def state(self) -> dict[str, Any]:
        """What this process alone keeps and a run that continues needs, as plain data by name."""
        return {}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Take back what :meth:`state` gave."""


class SamplerLoss(abc.ABC):
    """What the sampler descends: the mean of an objective over its own draws, unless :meth:`__call__` says otherwise.

    Args:
        event: what one sample looks like.

    Attributes:
        entropy_weight: weight of E_q[log q] over the paper's; set by the view.
    """

    entropy_weight: float = 1.0

    def __init__(self, event: Event) -> None:
        self.event = event

    def check(self, pair: Pair, learner: Learner, descends: bool) -> None:  # noqa: B027
        """Refuse a pair or a learner that cannot descend this loss.

        Args:
            pair: cost and sampler.
            learner: how the sampler descends.
            descends: whether the sampler takes steps at all.

        Raises:
            ValueError: naming what does not fit and what to do.
        """

    @abc.abstractmethod
    def objective(self, pair: Pair, log_z: Tensor) -> Objective:
        """What is descended: a function of samples (B, *shape) and their log q (B,), or None, to values (B,), in nats.

        Args:
            pair: cost and sampler.
            log_z: as the view knows it, a scalar, constant.
        """

    def step_objective(self, pair: Pair, log_z: Tensor) -> Objective:
        """The same up to a constant, for learners that descend step by step."""
        return self.objective(pair, log_z)

    def __call__(self, pair: Pair, learner: Learner, given: Given) -> Tensor:
        """The loss, a scalar in nats, over draws that the learner makes."""
        return learner.loss(pair.sampler, self.objective(pair, given.log_z.detach()), given.num_samples)

    def departures(self) -> list[str]:
        """What in this loss is not the paper's, a line each."""
        return []


def likelihood_loss(pair: Pair, samples: Samples) -> Tensor:
    """-E[log q] over samples (N, *shape), of the part of q that learns; a scalar in nats.

    The one term in which the sampler is in training mode, with its dropout.
    """
    counts = processes.counts_later([count(samples)])
    pair.sampler.train()
    loss = -processes.mean(pair.sampler.learned_log_prob(samples), counts)
    pair.sampler.eval()
    return loss
