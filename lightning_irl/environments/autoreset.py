"""Which observation was an episode's last, where a vector environment starts the next episode by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_irl.errors import UserError

MODES = ("NEXT_STEP", "SAME_STEP", "DISABLED")
KEPT = ("final_obs", "final_observation")  # where a last observation is kept: gymnasium 1.1 and later, and before


class AutoresetError(RuntimeError, UserError):
    """A vector environment that does not tell an episode's last observation; the text is the whole message."""


def declared_mode(vector: Any) -> str | None:
    """When a vector environment resets an episode that ended: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED``; None if it
    does not say.

    Those of gymnasium itself that do not say (before 1.1) reset in the next step.
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
    """Observations of a step, with each ended episode's own last one where the environment already shows the next
    episode's first.

    Args:
        name: of the environment, for messages.
        mode: of :func:`declared_mode`.
        observation: as given by the step (B, *obs).
        info: as given by the step; last observations under ``final_obs`` or ``final_observation`` are taken wherever
            they are.
        ended: episodes whose last step this was and whose observations are looked at (B,), bool.
        can_alias: whether a last observation that equals the next episode's first must be one buffer, written over.

    Raises:
        AutoresetError: if an ended episode has no last observation, or its buffer was written over by the reset.
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
                "shows may be the "
                "next episode's first. Let it give info['final_obs'], or say metadata['autoreset_mode'] = "
                "gymnasium.vector.AutoresetMode.NEXT_STEP if it resets in the step after"
            )
        found[index] = np.asarray(last).reshape(found[index].shape)
        if mode != "NEXT_STEP" and can_alias and np.array_equal(found[index], observation[index]):
            raise AutoresetError(
                f"environment {name} gives as last observation of episode {index} the first one of the next: it "
                "writes both to one "
                "buffer. Let its environments return a copy of each observation, or reset in the next step"
            )
    return found
