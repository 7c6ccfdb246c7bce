"""Interfaces of a view's two losses, their inputs and results. A loss never sees the view."""

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
    """Inputs of a loss for one batch: of this process, at the view's level.

    Attributes:
        demonstrations: N samples of p.
        samples: M draws of the sampler, constant; M may be 0 for a cost loss that needs no draws
            (:attr:`CostLoss.needs_draws`). For a sampler loss: the samples whose cost was raised last.
        log_q: log q of the draws (M,), in nats, constant; None without a density.
        log_z: the view's current log Z, a scalar in nats; NaN if unknown. A parameter if the loss learns it
            (:attr:`CostLoss.learns_log_z`).
        num_samples: number of draws in each step of the sampler.
        wants_log_z: whether log Z is needed though the step itself does not use it: where it is logged, and in the
            first batch.
    """

    demonstrations: Samples
    samples: Samples
    log_q: Tensor | None
    log_z: Tensor
    num_samples: int = 0
    wants_log_z: bool = True


class Found(NamedTuple):
    """Result of a cost loss for one batch.

    Attributes:
        loss: a scalar in nats.
        negatives: the samples (M, *shape) whose cost the loss raises: the draws, or the ends of chains.
        log_z: its log Z, a scalar in nats, constant; None if it has none, or to keep the view's.
        scalars: other scalars to log, by key.
        watched: values that must be finite and at most a bound, by name: (value of any shape, bound).
    """

    loss: Tensor
    negatives: Samples
    log_z: Tensor | None = None
    scalars: Mapping[str, Tensor] = {}
    watched: Mapping[str, tuple[Tensor, float]] = {}


class CostLoss(nn.Module, abc.ABC):
    """The loss that the cost descends.

    It is a module of the view, ``cost_objective.*`` in a checkpoint. It sees the samples of this process, and gathers
    values of all processes where it needs them (:func:`lightning_irl.processes.gather_each`).

    Args:
        event: description of one sample.

    Attributes:
        has_model: whether exp(-c/T)/Z is a model under this loss, given a sampler that can score it.
        scored_by: options that make it need log q of demonstrations, each with what to do if there is none.
        needs_draws: whether it needs draws of the sampler.
        learns_log_z: whether log Z is a parameter of the view.
        fixed_sampler: name of training with a fixed sampler, as the end of a sentence; empty if it has none.
        advice: for each name in :attr:`Found.watched`, a function called when it fails, which returns what to do.
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
        """The loss of a batch, with the gradient of one process that holds the batches of all."""

    def departures(self) -> list[str]:
        """Departures of this loss from the paper's, a line each."""
        return []

    def state(self) -> dict[str, Any]:
        """State of this process that a resumed run needs, as plain data by name."""
        return {}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore the result of :meth:`state`."""


class SamplerLoss(abc.ABC):
    """The loss that the sampler descends: the mean of an objective over its own draws, unless :meth:`__call__` is
    overridden.

    Args:
        event: description of one sample.

    Attributes:
        entropy_weight: weight of E_q[log q] relative to the paper's; set by the view.
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
        """The objective: a function of samples (B, *shape) and their log q (B,), or None, to values (B,) in nats.

        Args:
            pair: cost and sampler.
            log_z: the view's current log Z, a scalar, constant.
        """

    def step_objective(self, pair: Pair, log_z: Tensor) -> Objective:
        """The objective up to a constant, for learners that descend step by step."""
        return self.objective(pair, log_z)

    def __call__(self, pair: Pair, learner: Learner, given: Given) -> Tensor:
        """The loss, a scalar in nats, over draws that the learner makes."""
        return learner.loss(pair.sampler, self.objective(pair, given.log_z.detach()), given.num_samples)

    def departures(self) -> list[str]:
        """Departures of this loss from the paper's, a line each."""
        return []


def likelihood_loss(pair: Pair, samples: Samples) -> Tensor:
    """-E[log q] over samples (N, *shape), of the trainable part of q; a scalar in nats.

    This is the only term that puts the sampler in training mode, with its dropout.
    """
    counts = processes.counts_later([count(samples)])
    pair.sampler.train()
    loss = -processes.mean(pair.sampler.learned_log_prob(samples), counts)
    pair.sampler.eval()
    return loss
