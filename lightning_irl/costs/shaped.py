"""A cost with potential-based shaping."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightning_irl.costs.mlp_step import StepFeatures
from lightning_irl.costs.step import StepCost
from lightning_irl.networks import mlp
from lightning_irl.spaces.event import Event


class ShapedStepCost(StepCost):
    r"""c(s, a, s') = g(s, a, s') + gamma h(s') - h(s): the reward of adversarial inverse RL with its sign changed.

    Fu, Luo and Levine (2018, arXiv 1710.11248, section 6) write the reward :math:`f = g_r + \gamma h_r(s') - h_r(s)`.
    With the cost :math:`g = -g_r` and the potential :math:`h = -h_r` this is :math:`c = -f`. At the optimum of the
    transition level f is the soft advantage and :math:`h_r` the soft value (up to a constant), so here h is the
    expected cost to go, less entropy: high in bad states, and a step to a better one lowers c. g transfers to other
    dynamics if it depends on states alone.

    Along a whole trajectory with gamma = 1 the shaping sums to :math:`h(s_T) - h(s_0)`. The first is a cost of the last
    observation, which a policy can influence, so shaping preserves the preferences among policies (Ng, Harada and
    Russell 1999) only with ``zero_at_horizon``. An episode that ends early keeps h of the observation it ended in; the
    absorbed steps after it have no shaping, as if h stood still there, which for gamma < 1 leaves out :math:`(\gamma -
    1) h` a step.

    Args:
        event: of the trajectories.
        cost: factory of g, called with the event.
        hidden: sizes of the potential's hidden layers.
        discount: gamma.
        sees_time: give the potential the share of the horizon that is left.
        zero_at_horizon: set h to zero after the last step of the horizon; needs ``sees_time``.
        activation: between the potential's layers.

    Raises:
        ValueError: if ``discount`` is not between 0 and 1, or ``zero_at_horizon`` is set without ``sees_time``.

    Example:
        >>> from functools import partial
        >>> from lightning_irl.costs.mlp_step import MLPStepCost
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> event = make_trajectory_event(5, [4], num_actions=2)
        >>> cost = ShapedStepCost(event, partial(MLPStepCost, inputs="state"))
        >>> cost.potential(torch.zeros(3, 4), torch.zeros(3, dtype=torch.long)).shape
        torch.Size([3])
    """

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], StepCost],
        hidden: Sequence[int] = (64, 64),
        discount: float = 1.0,
        sees_time: bool = False,
        zero_at_horizon: bool = False,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__(event)
        if not 0 <= discount <= 1:
            raise ValueError(f"discount is {discount}; it lies between 0 and 1")
        if zero_at_horizon and not sees_time:
            raise ValueError("zero_at_horizon needs a potential that knows when the horizon is: set sees_time=true")
        self.cost = cost(event)
        self.sees_actions = self.cost.sees_actions
        self.discount, self.zero_at_horizon, self.horizon = discount, zero_at_horizon, self.space.horizon
        self.features = StepFeatures(event, "state", sees_time)
        self.network = mlp([self.features.size, *hidden, 1], activation)

    def potential(self, observation: Tensor, time: Tensor) -> Tensor:
        """h (...) of observations (..., *obs) before the steps (...), long; the horizon is after the last step."""
        found: Tensor = self.network(self.features(observation, time, observation, time)).squeeze(-1)
        return torch.where(time < self.horizon, found, 0.0) if self.zero_at_horizon else found

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        following = self.potential(next_observation, time + 1)
        shaping = self.discount * following - self.potential(observation, time)
        cost: Tensor = self.cost(observation, action, next_observation, time)
        return cost + shaping


SHAPED = "step_cost.cost."  # where a trajectory's cost keeps the g of a shaped cost of its steps


def without_shaping(state: dict[str, Tensor], cost: nn.Module) -> dict[str, Tensor]:
    """The state of a trajectory's cost as another takes it: g alone where that one is not shaped, else as it is.

    Args:
        state: of a cost that may be shaped.
        cost: that is to load it.
    """
    part = {key.removeprefix(SHAPED): value for key, value in state.items() if key.startswith(SHAPED)}
    if not part or any(key.startswith(SHAPED) for key in cost.state_dict()):
        return state
    kept = {key: value for key, value in state.items() if not key.startswith("step_cost.")}
    return kept | {f"step_cost.{key}": value for key, value in part.items()}
