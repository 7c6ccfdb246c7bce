"""Descent through the sampler's own differentiable draws."""

from __future__ import annotations

from torch import Tensor

from lightning_irl.learners.base import Learner, Objective
from lightning_irl.processes import counts_later, mean
from lightning_irl.samplers.base import Sampler


class Reparameterised(Learner):
    """The pathwise gradient: the mean of the objective over :meth:`Sampler.rsample` draws.

    Kingma and Welling (2014, arXiv 1312.6114). Low variance; needs draws that are differentiable, and a cost that is.
    """

    def check(self, sampler: Sampler) -> None:
        if not sampler.has_rsample:
            raise ValueError(
                f"sampler {type(sampler).__name__} has no differentiable draws; set learner to ScoreFunction"
            )

    def loss(self, sampler: Sampler, objective: Objective, num_samples: int) -> Tensor:
        counts = counts_later([num_samples])
        samples, log_q = sampler.rsample(num_samples)
        return mean(objective(samples, log_q), counts)
