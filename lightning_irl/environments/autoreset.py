"""Finds the last observation of an episode in vector environments that reset automatically."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_irl.errors import UserError

MODES = ("NEXT_STEP", "SAME_STEP", "DISABLED")
KEPT = ("final_obs", "final_observation")  # key of the last observation: gymnasium 1.1 and later, and before


class AutoresetError(RuntimeError, UserError):
    """A vector environment does not give an episode's last observation; the text is the whole message."""


def declared_mode(vector: Any) -> str | None:
    """When a vector environment resets an ended episode, one of :data:`MODES`; None if it does not say.

    gymnasium's own vector environments before 1.1 do not say; they reset in the next step.
    """
    said = (getattr(vector, "metadata", None) or {}).get("autoreset_mode")
    plain = str(getattr(said, "name", said)).upper().replace("_", "").replace("-", "")
    for mode in MODES:
        if plain == mode.replace("_", ""):
            return mode
    inner = getattr(vector, "unwrapped", vector)
    return "NEXT_STEP" if type(inner).__module__.partition(".")[0] == "gymnasium" else None


def last_observations(
    name: str, mode: str | None, observation: np.ndarray, info: dict[str, Any], ended: np.ndarray, can_alias: bool
) -> np.ndarray:
    """Observations of a step; an ended episode gets its own last one in place of the next episode's first.

    Args:
        name: the environment's, for messages.
        mode: from :func:`declared_mode`.
        observation: as returned by the step (B, *obs).
        info: as returned by the step; last observations are taken from ``final_obs`` or ``final_observation`` wherever
            these are present.
        ended: episodes that ended in this step and whose observations are used (B,), bool.
        can_alias: whether a last observation that equals the next episode's first must be an overwritten buffer.

    Raises:
        AutoresetError: if an ended episode has no last observation, or the reset has overwritten it.
    """
    if not ended.any():
        return observation
    kept = next((info[key] for key in KEPT if info.get(key) is not None), None)
    filled = next((info[f"_{key}"] for key in KEPT if info.get(f"_{key}") is not None), None)
    if kept is None and mode in ("NEXT_STEP", "DISABLED"):
        return observation
    found = observation.copy()
    for index in np.flatnonzero(ended):
        last = None if kept is None or (filled is not None and not filled[index]) else kept[index]
        if last is None and mode in ("NEXT_STEP", "DISABLED"):
            continue
        if last is None:
            said = "resets in the same step" if mode else "does not say when it resets"
            raise AutoresetError(
                f"environment {name} {said}, and gives no last observation of episode {index}, which ended: what it "
                "returns may be the next episode's first. Return info['final_obs'], or set metadata['autoreset_mode'] "
                "= gymnasium.vector.AutoresetMode.NEXT_STEP if it resets in the step after"
            )
        found[index] = np.asarray(last).reshape(found[index].shape)
        if mode != "NEXT_STEP" and can_alias and np.array_equal(found[index], observation[index]):
            raise AutoresetError(
                f"environment {name} gives as last observation of episode {index} the first one of the next: it "
                "writes both to one buffer. Let its environments return a copy of each observation, "
                "or reset in the next step"
            )
    return found
