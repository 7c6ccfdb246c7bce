"""Demonstrations of states without actions, such as motion capture: which options can learn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_irl.errors import UserError
from lightning_irl.spaces.served import describe

if TYPE_CHECKING:
    from lightning_irl.views.view import View

NAME = "demonstrations hold states alone"


def check_states_alone(view: View, datamodule: Any) -> bool:
    """Whether the demonstrations hold no actions.

    Raises:
        UserError: if they hold none and the view needs them, for a cost that sees actions or for log q of
            demonstrations.
    """
    if describe(datamodule).has_actions:
        return False
    if view.cost.sees_actions:
        raise UserError(
            f"{NAME}, but the cost sees actions: use a step cost of states, such as MLPStepCost with "
            "inputs=state_next (or set sees_actions = False on a cost of yours that ignores them)"
        )
    for option, instead in scored_by(view).items():
        raise UserError(f"{NAME}, but {option} needs log q of demonstrations, and with it their actions: {instead}")
    return True


def scored_by(view: View) -> dict[str, str]:
    """Options of a view that need log q of demonstrations in training, each with what to do if there is none."""
    found = dict(view.cost_objective.scored_by)
    for option in ("likelihood_weight", "warm_start"):
        if getattr(view, option):
            found[f"{option}={getattr(view, option)}"] = f"set {option}=0"
    return found
