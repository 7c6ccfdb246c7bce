"""Makes gymnasium's vector environments, by id or by a user's factory; ended episodes stand still."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lightning_irl.errors import did_you_mean

NO_LIMIT = 2**31 - 1  # steps


def make_one(id: str, kwargs: dict[str, Any]) -> Any:
    """One environment by id, without its time limit and without gymnasium's checks, which ours replace.

    Raises:
        ValueError: if there is no such id, a package that it needs is missing, or the arguments do not fit.
    """
    import gymnasium

    options = {"max_episode_steps": -1, "disable_env_checker": True, **kwargs}
    try:
        return gymnasium.make(id, **options)
    except gymnasium.error.NamespaceNotFound as error:
        raise ValueError(
            f"gymnasium has no environment {id}: {error} Environments of other packages are given as module:Id-v0"
        ) from error
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        nearest = did_you_mean(id.rsplit(":", 1)[-1], gymnasium.registry, "no name is similar.")
        raise ValueError(
            f"gymnasium has no environment {id}; {nearest} Environments of other packages are given as module:Id-v0"
        ) from error
    except (ModuleNotFoundError, gymnasium.error.DependencyNotInstalled) as error:
        spec = gymnasium.registry.get(id)
        told = re.search(r"gymnasium\[([\w-]+)\]", str(error))
        is_mujoco = "mujoco" in (told[1] if told else str(spec and spec.entry_point))
        package = "lightning-irl[mujoco]" if is_mujoco else told[0] if told else ""
        advice = f'pip install "{package}"' if package else str(error)
        raise ValueError(f"environment {id} needs a package that is not installed: {advice}") from error
    except (TypeError, gymnasium.error.Error) as error:
        raise ValueError(f"environment {id} cannot be made with {kwargs}: {error}") from error


def make_by_id(id: str, vectorization: str, kwargs: dict[str, Any], num: int) -> Any:
    """A vector environment of num episodes, by id.

    Raises:
        ValueError: as :func:`make_one`, or if ``vector_entry_point`` is chosen and the environment has none.
    """
    import gymnasium

    if vectorization == "vector_entry_point":
        make_one(id, kwargs).close()  # names what is wrong with the id
        spec = gymnasium.spec(id)
        if spec.vector_entry_point is None:
            raise ValueError(f"environment {id} has no vector_entry_point; use vectorization=sync")
        limit = {} if spec.max_episode_steps is None else {"max_episode_steps": NO_LIMIT}
        return gymnasium.make_vec(id, num_envs=num, vectorization_mode="vector_entry_point", **{**limit, **kwargs})
    makers: list[Any] = [partial(_make_episode, id, kwargs, index) for index in range(num)]
    kind = gymnasium.vector.SyncVectorEnv if vectorization == "sync" else gymnasium.vector.AsyncVectorEnv
    return kind(makers)


def make_by_factory(name: str, factory: str | Callable[[int], Any], num: int) -> Any:
    """A vector environment of num episodes by a user's factory, called ``name`` in messages.

    Raises:
        ValueError: if there is no such factory, or it does not make a vector environment of num episodes.
    """
    vector = _resolve(factory)(num)
    if _is_envpool(vector):
        vector = _EnvPool(vector)
    needed = "reset", "step", "close", "num_envs", "single_observation_space", "single_action_space"
    if missing := [one for one in needed if not hasattr(vector, one)]:
        raise ValueError(
            f"factory {name} made a {type(vector).__name__}, which has no {', '.join(missing)}; "
            "it must make a gymnasium.vector.VectorEnv"
        )
    if vector.num_envs != num:
        raise ValueError(
            f"factory {name} made {vector.num_envs} environments; it must make {num}, the number it is given"
        )
    return vector


class EpisodeError(Exception):
    """An episode failed; the text names the episode, the step and the error."""


def say(error: Exception) -> str:
    """An error's type and text."""
    return f"{type(error).__name__}: {error}"


class _EnvPool:
    """EnvPool's environments (1.0 to 1.2) with gymnasium's vector interface; they reset in the step after the end."""

    metadata = {"autoreset_mode": "NEXT_STEP"}  # noqa: RUF012

    def __init__(self, pool: Any) -> None:
        self.pool, self.num_envs = pool, len(pool)
        self.single_observation_space, self.single_action_space = pool.observation_space, pool.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        found: tuple[Any, dict[str, Any]] = self.pool.reset()
        return found

    def step(self, actions: np.ndarray) -> Any:
        return self.pool.step(actions)

    def close(self) -> None:
        self.pool.close()


def _is_envpool(vector: Any) -> bool:
    return hasattr(vector, "async_reset") and not hasattr(vector, "single_action_space")


class _Episode:
    """An environment that stands still once its episode has ended, until it is reset with a seed.

    gymnasium's vector environments reset an environment in the step after its end, without a seed: from then on it
    stands still. Its steps cost nothing and never end an episode.
    """

    def __init__(self, environment: Any, index: int) -> None:
        self.environment, self.index = environment, index
        self.time, self.last, self.is_over = 0, None, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.environment, name)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None:
            self.is_over = True
            return self.last, {}
        self.time, self.is_over = 0, False
        try:
            self.last, _ = self.environment.reset(seed=seed, options=options)
        except Exception as error:
            raise EpisodeError(f"in episode {self.index} at the reset: {say(error)}") from error
        return self.last, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.is_over:
            return self.last, 0.0, False, False, {}
        try:
            self.last, reward, ended, is_truncated, _ = self.environment.step(action)
        except Exception as error:
            raise EpisodeError(f"in episode {self.index} at step {self.time}: {say(error)}") from error
        self.time += 1
        return self.last, float(reward), bool(ended), bool(is_truncated), {}


def _make_episode(id: str, kwargs: dict[str, Any], index: int) -> _Episode:
    return _Episode(make_one(id, kwargs), index)


def _resolve(factory: str | Callable[[int], Any]) -> Callable[[int], Any]:
    """A factory, imported if it is given as a dotted path."""
    if callable(factory):
        return factory
    module, _, name = str(factory).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"factory is {factory!r}; there is no such function to import: {error}") from error
    if not callable(found):
        raise ValueError(
            f"factory {factory} is a {type(found).__name__}; it must be a function of the number of environments"
        )
    return found
