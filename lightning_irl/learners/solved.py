"""The base of learners that solve for the policy."""

from __future__ import annotations

from torch import Tensor

from lightning_irl.learners.score_function import ScoreFunction

LEAST_LOG_PI = -10.0  # log pi are tried from here to 0 to see whether the objective is linear in them
SPREAD = 1e-3  # of its slope, above rounding


class SolvedLearner(ScoreFunction):
    """Sets the policy to its optimum for the present cost; :meth:`begin` returns 0, so that no descent follows.

    The sampler's optimizer is not used. :meth:`loss` is that of the score function.
    """

    is_stepwise = True
    descents = 0
    _is_linear = False

    def check_slope(self, slope: Tensor) -> None:
        """Refuse an objective that is not linear in log pi; checked once, as the check waits for the device.

        Args:
            slope: derivative of the objective in log pi, at several of them.

        Raises:
            ValueError: if it is not the same positive number everywhere.
        """
        if self._is_linear:
            return
        low, high = slope.min().item(), slope.max().item()
        if low <= 0 or high - low > SPREAD * high:
            raise ValueError(
                f"{type(self).__name__} solves for an objective that is a cost plus a positive multiple of log pi; "
                "the multiple of "
                f"this one is {low:.3g} to {high:.3g}: use generator_loss=sum, discriminator=density and an "
                "entropy_weight above 0"
            )
        self._is_linear = True
