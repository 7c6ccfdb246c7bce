"""Reconciles the actions of demonstrations and environment, before anything is built from the event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lightning_irl.environments.base import Environment
from lightning_irl.spaces.event import Event

ROUNDING = 1e-5  # relative difference up to which two bounds count as equal


class Agreement(NamedTuple):
    """An event that fits an environment.

    Attributes:
        event: the data's, with the environment's number of actions where that was guessed, and its bounds where the
            data has none.
        mended: what was taken from the environment, a line each.
        doubts: likely mistakes, a line each.
    """

    event: Event
    mended: list[str]
    doubts: list[str]


def agree(environment: Environment, event: Event) -> Agreement:
    """Make demonstrations and environment agree on actions.

    Raises:
        ValueError: if they contradict each other; the message gives both values and what to do.
    """
    event = dict(event)
    mended: list[str] = []
    doubts: list[str] = []
    guessed, title = event.pop("guessed", []), environment.title
    ours, theirs = environment.num_actions, event.get("num_actions", 0)
    if "num_actions" in guessed and ours and ours != theirs:
        if theirs > ours:
            raise ValueError(
                f"the demonstrations hold action {theirs - 1}, environment {title} has {ours} actions, "
                f"0 to {ours - 1}: they are not from this environment"
            )
        event["num_actions"] = ours
        mended.append(
            f"the data does not say how many actions there are; {theirs} were guessed from those demonstrated, "
            f"but environment {title} has {ours}, which is used"
        )
    environment.check(event)
    if event["num_actions"] or not environment.action_low:
        return Agreement(event, mended, doubts)
    low, high = (list(map(float, edge)) for edge in (environment.action_low, environment.action_high))
    applies = f"environment {title} applies actions {between(low, high)}"
    if not event["action_low"] and "action_bounds" not in guessed:
        doubts.append(
            f"the data's actions have no bounds, {applies}: actions beyond them are recorded but never applied. "
            "Set the data's action_low and action_high, and use ClippedGaussianPolicy"
        )
        return Agreement(event, mended, doubts)
    if not event["action_low"]:
        event |= {"action_low": low, "action_high": high, "base_measure": "clipped"}
        mended.append(
            f"the data has no action bounds, {applies}: these are used, with the base measure clipped, so that "
            "actions are recorded as they are applied"
        )
        return Agreement(event, mended, doubts)
    sides = [*zip(event["action_low"], low, strict=True)]
    sides += [(-theirs, -ours) for theirs, ours in zip(event["action_high"], high, strict=True)]
    excess = [_beyond(theirs, ours) for theirs, ours in sides]
    given = f"the data has actions {between(event['action_low'], event['action_high'])}, {applies}"
    if max(excess) > 0:
        raise ValueError(
            f"{given}: actions beyond these would be recorded but never applied. Set the data's action_low to "
            f"{_short(low)} and action_high to {_short(high)}, or use the environment of the demonstrations"
        )
    if min(excess) < 0:
        doubts.append(
            f"{given}: the policy keeps to the data's. If the demonstrations' actions were rescaled, store them as "
            "they were applied; otherwise set the data's action_low and action_high to the environment's"
        )
    return Agreement(event, mended, doubts)


def between(low: Sequence[float], high: Sequence[float]) -> str:
    """Bounds in words; equal bounds of all coordinates are written once."""
    return f"between {_short(low)} and {_short(high)}"


def _short(values: Sequence[float]) -> str:
    shown = list(values) if len(set(values)) > 1 or len(values) < 3 else values[:1]
    text = f"[{', '.join(f'{value:g}' for value in shown[:8])}{', ...' * (len(shown) > 8)}]"
    return text if len(shown) == len(values) else f"{text} in each of {len(values)} coordinates"


def _beyond(theirs: float, ours: float) -> int:
    """1 if a lower bound lies beyond ours, 0 if it equals ours up to rounding, -1 if it lies inside."""
    if theirs == ours or abs(theirs - ours) <= ROUNDING * max(1.0, abs(ours)) < float("inf"):
        return 0
    return 1 if theirs < ours else -1
