"""Demonstrations of states alone, as motion capture gives them: what may learn from them, and what may not."""

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
        UserError: if they do not, and the view needs them: for a cost that sees actions, or for log q of a
            demonstration.
    """
    if describe(datamodule).has_actions:
        return False
    if view.cost.sees_actions:
        raise UserError(
            f"{NAME}, but the cost sees actions: use a step cost of states, such as MLPStepCost with inputs=state_next "
            "(or set sees_actions = False on a cost of yours that ignores them)"
        )
    for option, instead in scored_by(view).items():
        raise UserError(f"{NAME}, but {option} needs log q of demonstrations, and with it their actions: {instead}")
    return True


def scored_by(view: View) -> dict[str, str]:
    """Options of a view by which log q of demonstrations is computed in training, each with what to do without."""
    found = {}
    guided, discriminator = getattr(view, "guided_cost", None), getattr(view, "discriminator", None)
    if guided is not None and guided.negative_phase == "mixture":
        found["negative_phase=mixture"] = "set negative_phase=importance"
    if guided is None and discriminator is not None and discriminator.is_dense:
        found["discriminator=density"] = (
            "set discriminator=plain, or objective=guided_cost with negative_phase=importance"
        )
    for option in ("likelihood_weight", "warm_start"):
        if getattr(view, option):
            found[f"{option}={getattr(view, option)}"] = f"set {option}=0"
    return found
