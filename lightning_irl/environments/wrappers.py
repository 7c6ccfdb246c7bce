"""Finds wrappers that normalise observations or rewards by running statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def running_normalisations(environment: Any) -> list[tuple[str, str]]:
    """Wrappers that normalise by running statistics, each with what it normalises.

    Searches an environment's wrappers, and those of the environments in a vector environment.

    Returns:
        Pairs of a class name and ``observation`` or ``reward``.
    """
    found: list[tuple[str, str]] = []
    seen: set[int] = set()

    def walk(current: Any) -> None:
        while current is not None and id(current) not in seen:
            seen.add(id(current))
            found.extend(_normalises(current))
            own = vars(current) if hasattr(current, "__dict__") else {}
            for inner in own.get("envs") or ():
                walk(inner)
            if makers := own.get("env_fns"):  # run in other processes: one like theirs is made here
                _look_at_made(makers[0], walk)
            current = own.get("env", own.get("venv", own.get("environment")))

    walk(environment)
    return list(dict.fromkeys(found))


def _look_at_made(make: Callable[[], Any], look: Callable[[Any], None]) -> None:
    one = make()
    try:
        look(one)
    finally:
        one.close()


def _normalises(wrapper: Any) -> list[tuple[str, str]]:
    own, name = vars(wrapper) if hasattr(wrapper, "__dict__") else {}, type(wrapper).__name__
    is_still = getattr(type(wrapper), "update_running_mean", None) is not None and not wrapper.update_running_mean
    if is_still or own.get("training") is False:  # gymnasium's attribute, and Stable-Baselines3's
        return []
    kinds = {
        "observation": own.get("norm_obs", True) and ("obs_rms" in own or name == "NormalizeObservation"),
        "reward": own.get("norm_reward", True)
        and ("ret_rms" in own or "return_rms" in own or "reward_rms" in own or name == "NormalizeReward"),
    }
    return [(name, kind) for kind, is_so in kinds.items() if is_so]
