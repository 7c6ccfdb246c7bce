"""Descent by the score function, for samplers without differentiable draws."""

from __future__ import annotations

from torch import Tensor

from lightning_irl.learners.base import Learner, Objective
from lightning_irl.processes import gather_each
from lightning_irl.samplers.base import Sampler


class ScoreFunction(Learner):
    r"""REINFORCE (Williams 1992) with the leave-one-out baseline (Kool, van Hoof and Welling 2019).

    .. math:: \nabla E_q[f] = E_q[(f - b_{-i}) \nabla \log q] + E_q[\nabla f]

    where the second term is the objective's own dependence on log q. It works for any sampler with a density, and the
    cost need not be differentiable in the sample; the variance is higher than the pathwise gradient's.
    """

    def check(self, sampler: Sampler) -> None:
        if not sampler.has_density:
            raise ValueError(
                f"sampler {type(sampler).__name__} has no density, which the score function needs; "
                "set learner to Reparameterised"
            )

    def loss(self, sampler: Sampler, objective: Objective, num_samples: int) -> Tensor:
        if num_samples < 2:
            raise ValueError(f"ScoreFunction needs at least 2 draws for its baseline, num_samples is {num_samples}")
        samples, _ = sampler.sample(num_samples)
        log_q = sampler.log_prob(samples)
        return score_function_loss(*gather_each(objective(samples, log_q), log_q))


def score_function_loss(values: Tensor, log_q: Tensor) -> Tensor:
    """A scalar equal to the mean of the values, whose gradient is that of their expectation.

    Args:
        values: of draws (B,), at least two.
        log_q: of the draws (B,), differentiable in the sampler's parameters.
    """
    # v - mean of the others = (v - mean of all) * n / (n - 1)
    advantage = (values - values.mean()).detach() * (len(values) / (len(values) - 1))
    # less its own value, so that the loss is worth the values' mean, as in every learner
    return (advantage * (log_q - log_q.detach()) + values).mean()
