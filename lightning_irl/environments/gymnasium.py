"""Environments of gymnasium, or with its vector interface, a whole round of episodes at a time."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, sleep
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_irl.environments.autoreset import declared_mode, last_observations
from lightning_irl.environments.base import Environment, Step
from lightning_irl.environments.making import NO_LIMIT, EpisodeError, make_by_factory, make_by_id, make_one, say
from lightning_irl.environments.wrappers import running_normalisations
from lightning_irl.errors import UserError

VECTORIZATIONS = ("sync", "async", "vector_entry_point")
MOST_SECONDS = 1.0  # spent on resets in starts()
KEPT_ROUNDS = 2  # vector environments kept, one for each size of round: training's and evaluation's
WORKER_DIED = EOFError, BrokenPipeError, ConnectionResetError


class GymnasiumEnvironment(Environment):
    """Any environment of gymnasium, by its id, or from a factory of vector environments.

    Observations are floats: values of a ``Box`` as they are (images of dtype uint8 divided by 255, so in [0, 1]), a
    one-hot vector of the state for a ``Discrete`` space, as in a tabular environment. Actions are ``Discrete``, or a
    ``Box`` of floats, to which they are clipped. Observations must depend on the state alone: normalisation belongs to
    the policy.

    Every ``reset(num)`` starts num episodes at once, with seeds drawn from torch's global random state, so that
    ``torch.manual_seed`` reproduces them, whatever ran before. The vector environment is kept for the next round of the
    same size (two sizes are kept). An ended episode stays where it is until the next reset and costs nothing;
    gymnasium's time limit is lifted, since the event sets the horizon. An episode's state lives in gymnasium: it only
    goes forward, and has no gradient.

    Args:
        id: gymnasium's, such as ``Hopper-v5``; ``module:Id-v0`` imports the module that registers it.
        factory: instead of an id, a function of num that makes a ``gymnasium.vector.VectorEnv`` of num environments, or
            its dotted path. Lift its time limit there. One integer seeds its resets. Ended episodes go on, unobserved,
            according to its autoreset mode (``metadata["autoreset_mode"]``); if one is reset in the same step, its last
            observation is taken from ``final_obs`` or ``final_observation`` in ``info``. EnvPool works too: ``lambda
            num: envpool.make(ID, env_type="gymnasium", num_envs=num, seed=SEED, max_episode_steps=HORIZON + 1)``. It
            is seeded there only, so a reset continues its random numbers.
        vectorization: for an id: ``sync`` (one process), ``async`` (one process for each episode: for slow
            environments), or ``vector_entry_point`` (the environment's own, where it has one).
        absorbing: whether it can end an episode, which gymnasium does not declare. Such episodes have a mask, and the
            event must be absorbing too.
        max_envs: most episodes at once; a larger round is refused before it fills the memory.
        kwargs: for the environment of an id, such as ``{"ctrl_cost_weight": 0.0}``.

    Raises:
        ValueError: if there is no such environment (the message gives the nearest names), it needs a package that is
            not installed (the message says which), its spaces are not among those above, observations are normalised
            by running statistics, or an argument is not allowed.
        RuntimeError: in a rollout, if an environment fails, returns a non-finite value, does not give an episode's last
            observation, is truncated before the horizon, or ends although ``absorbing`` is False (the message names
            environment, episode and step, from 0); or if a round is too large.

    Example:
        >>> environment = GymnasiumEnvironment("CartPole-v1", absorbing=True)
        >>> state, observation = environment.reset(3)
        >>> environment.step(state, torch.tensor([0, 1, 1])).observation.shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        id: str | None = None,
        factory: str | Callable[[int], Any] | None = None,
        vectorization: Literal["sync", "async", "vector_entry_point"] = "sync",
        absorbing: bool = False,
        max_envs: int = 1024,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if (id is None) == (factory is None):
            raise ValueError(f"id is {id!r} and factory is {factory!r}; give one of them")
        if vectorization not in VECTORIZATIONS:
            raise ValueError(f"vectorization is {vectorization!r}; allowed: {', '.join(VECTORIZATIONS)}")
        if max_envs < 1:
            raise ValueError(f"max_envs is {max_envs}; it must be at least 1")
        if factory is not None and kwargs:
            raise ValueError("kwargs go with an id; with a factory, give them to the environment there")
        self.id, self.factory, self.vectorization = id, factory, vectorization
        self.absorbing, self.max_envs, self.kwargs = absorbing, max_envs, dict(kwargs or {})
        called = factory if isinstance(factory, str) else getattr(factory, "__name__", "of the factory")
        self.name: str = str(id or called)
        self._rounds: dict[int, _Round] = {}
        self._read_spaces()

    @property
    def title(self) -> str:
        return self.name

    @property
    def how_to_end(self) -> str:
        return "; or, if it does end them, set absorbing=true on the environment too"

    def starts(self, num: int) -> Tensor:
        """First observations of one new environment; fewer than num if the resets take more than a second."""
        probe, begun = copy.copy(self), monotonic()
        seen: list[Tensor] = []
        probe.vectorization = "sync" if self.vectorization == "async" else self.vectorization
        try:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)
                while not seen or (len(seen) < num and monotonic() - begun < MOST_SECONDS):
                    seen.append(probe.reset(1)[1])
        finally:
            probe.close()
        return torch.cat(seen)

    def _read_spaces(self) -> None:
        """Read observation and action space from one environment, which is then closed."""
        from gymnasium import spaces

        is_single = self.id is not None and self.vectorization != "vector_entry_point"
        one = make_one(str(self.id), self.kwargs) if is_single else self._make_vector(1)
        try:
            prefix = "" if is_single else "single_"
            observation, action = getattr(one, f"{prefix}observation_space"), getattr(one, f"{prefix}action_space")
            self._refuse_running_normalisation(one)
            known = getattr(one, "spec", None)
        finally:
            one.close()
        self.gymnasium_id = str(self.id or getattr(known, "id", None) or "")
        if isinstance(observation, spaces.Box):
            self.observation_shape = tuple(observation.shape) or (1,)
            self.observation_low, self.observation_high = _bounds(observation)
            self.serves_bytes = observation.dtype == np.uint8
        elif isinstance(observation, spaces.Discrete):
            self.observation_shape = (int(observation.n),)
            self.observation_low, self.observation_high = (0.0,), (1.0,)
        else:
            raise ValueError(
                f"environment {self.name} has observations in a {type(observation).__name__} space; allowed: Box, "
                "Discrete. Give a factory that wraps it, for instance in gymnasium.wrappers.FlattenObservation"
            )
        if isinstance(action, spaces.Discrete):
            self.num_actions = int(action.n)
        elif isinstance(action, spaces.Box) and np.issubdtype(action.dtype, np.floating):
            self.action_shape = tuple(action.shape) or (1,)
            if np.isfinite([action.low, action.high]).any():
                self.action_low = tuple(float(low) for low in action.low.flatten())
                self.action_high = tuple(float(high) for high in action.high.flatten())
        else:
            kind = f"{type(action).__name__} space of {action.dtype}"
            raise ValueError(
                f"environment {self.name} takes actions of a {kind}; allowed: Discrete, and Box of floats. "
                "Give a factory that wraps it, for instance in gymnasium.wrappers.TransformAction"
            )
        self._observation_space, self._action_space = observation, action

    def _refuse_running_normalisation(self, one: Any) -> None:
        for wrapper, what in running_normalisations(one):
            if what == "observation":
                raise ValueError(
                    f"environment {self.name} has the wrapper {wrapper}, whose statistics keep changing: "
                    "one state gives another observation each round, and never that of the demonstrations. "
                    "Leave it out (cost and policy standardise by the data), or hold its statistics constant: "
                    "update_running_mean = False"
                )
            warnings.warn(
                f"environment {self.name} has the wrapper {wrapper}: returns are sums of rewards whose scale keeps "
                "changing; leave it out, nothing learns from rewards",
                stacklevel=2,
            )

    def _make_vector(self, num: int) -> Any:
        if self.factory is not None:
            return make_by_factory(self.name, self.factory, num)
        return make_by_id(str(self.id), self.vectorization, self.kwargs, num)

    def _round(self, num: int) -> _Round:
        """The vector environment of num episodes, marked as the last used."""
        if num > self.max_envs:
            raise RolloutError(
                f"{num} episodes at once of environment {self.name} are more than max_envs={self.max_envs}; "
                "ask for fewer a round, or set max_envs higher if the memory allows it"
            )
        if num not in self._rounds:
            while len(self._rounds) >= KEPT_ROUNDS:
                self._rounds.pop(next(iter(self._rounds))).close()
            self._rounds[num] = _Round(self._make_vector(num))
        else:
            self._rounds[num] = self._rounds.pop(num)
        return self._rounds[num]

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[GymnasiumState, Tensor]:
        """Start episodes, with seeds from torch's global random state of the device."""
        seeds = torch.randint(NO_LIMIT, (num,), device=device).tolist()
        current = self._round(num)
        is_one_each = self.id is not None and self.vectorization != "vector_entry_point"
        observation, _ = self._call(current, 0, partial(current.vector.reset, seed=seeds if is_one_each else seeds[0]))
        current.number, current.time = current.number + 1, 0
        current.to_reset = np.zeros(num, dtype=bool)
        never = np.zeros(num, dtype=bool)
        self._refuse_non_finite(np.asarray(observation), "observation at the reset", ~never, None)
        state = GymnasiumState(current, current.number, 0, never, never, dtype)
        return state, self._to_tensor(observation, dtype, device)

    def step(self, state: GymnasiumState, action: Tensor) -> Step:
        current, number, time, over, truncated, dtype = state
        if (current.number, current.time) != (number, time):
            raise RolloutError(
                f"environment {self.name} cannot go on from step {time}: its round has moved on or is closed, and its "
                "state lives in gymnasium; reset first, and step each state once"
            )
        self._refuse_early_end(over, truncated, time)
        array = self._to_array(action, ~over, time)
        if current.mode == "DISABLED" and current.to_reset.any():
            options = {"reset_mask": current.to_reset}
            self._call(current, time, partial(current.vector.reset, options=options))
        results = self._call(current, time, partial(current.vector.step, array))
        observation, reward, ended, is_truncated, info = results
        observation, reward = np.asarray(observation), np.asarray(reward)
        ended, is_truncated = np.asarray(ended, dtype=bool), np.asarray(is_truncated, dtype=bool)
        current.to_reset = ended | is_truncated
        observation = last_observations(
            self.name, current.mode, observation, info, current.to_reset & ~over, self._can_alias
        )
        self._refuse_non_finite(observation, "observation", ~over, time)
        self._refuse_non_finite(reward, "reward", ~over, time)
        current.time = time + 1
        device = action.device
        following = GymnasiumState(current, number, time + 1, over | ended, ~over & is_truncated & ~ended, dtype)
        return Step(
            following,
            self._to_tensor(observation, dtype, device),
            torch.tensor(reward, dtype=dtype, device=device),
            torch.tensor(following.over, device=device),
        )

    def _call(self, current: _Round, time: int, function: Callable[[], Any]) -> Any:
        """Call gymnasium; if it fails, close the round and name environment, episode and step."""
        try:
            return function()
        except Exception as error:
            dead = current.find_dead() if isinstance(error, WORKER_DIED) else []
            self._rounds = {num: other for num, other in self._rounds.items() if other is not current}
            current.close(is_broken=True)
            if isinstance(error, EpisodeError):
                raise RuntimeError(f"environment {self.name} failed {error}") from error
            if dead:
                raise RuntimeError(
                    f"environment {self.name} failed at step {time}: the process of episode "
                    f"{', '.join(map(str, dead))} died; it ran out of memory or crashed: "
                    "vectorization=sync shows where"
                ) from error
            raise RuntimeError(f"environment {self.name} failed at step {time}: {say(error)}") from error

    @property
    def _can_alias(self) -> bool:
        """Whether equal observations imply one buffer: not if they are few, as in a grid."""
        dtype = self._observation_space.dtype
        return len(self._observation_space.shape) > 0 and (dtype == np.uint8 or np.issubdtype(dtype, np.floating))

    def _refuse_early_end(self, over: np.ndarray, truncated: np.ndarray, time: int) -> None:
        """Checked before the next step, since the horizon's last step may truncate or end an episode."""
        if truncated.any():
            lift = "lift it in the factory" if self.factory is not None else "its own, since gymnasium's is lifted"
            raise RolloutError(
                f"environment {self.name} truncated episode {truncated.argmax()} after {time} steps, before the "
                f"horizon, by a time limit ({lift}); horizons are fixed: "
                f"lift the limit, or set the data's horizon to {time}"
            )
        if over.any() and not self.absorbing:
            raise RolloutError(
                f"environment {self.name} ended episode {over.argmax()} after {time} steps, before the horizon, "
                "although absorbing is false: set absorbing=true on the environment and on the data, "
                "or turn off its termination"
            )

    def _refuse_non_finite(self, array: np.ndarray, what: str, is_live: np.ndarray, time: int | None) -> None:
        if not np.issubdtype(array.dtype, np.floating):
            return
        is_bad = ~np.isfinite(array).reshape(len(array), -1).all(1) & is_live
        if is_bad.any():
            place = "" if time is None else f" at step {time}"
            raise RolloutError(
                f"environment {self.name} gave a non-finite {what} in episode {is_bad.argmax()}{place}; "
                "its simulation diverged: check the actions and its step size"
            )

    def _to_tensor(self, observation: np.ndarray, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """Observations (num, *obs), which never share memory with gymnasium's."""
        from gymnasium import spaces

        space, tensor = self._observation_space, torch.tensor(observation, device=device)
        if isinstance(space, spaces.Discrete):
            return torch.nn.functional.one_hot(tensor - int(space.start), int(space.n)).to(dtype)
        tensor = tensor.to(dtype).view(-1, *self.observation_shape)
        return tensor / 255 if space.dtype == np.uint8 else tensor

    def _to_array(self, action: Tensor, is_live: np.ndarray, time: int) -> np.ndarray:
        """Actions in gymnasium's format, clipped to the bounds."""
        space, array = self._action_space, action.detach().cpu().numpy()
        if self.num_actions:
            return (array + space.start).astype(space.dtype)
        is_bad = ~np.isfinite(array).reshape(len(array), -1).all(1)
        if (is_bad & is_live).any():
            raise RolloutError(
                f"environment {self.name} was given a non-finite action in episode {(is_bad & is_live).argmax()} at "
                f"step {time}; the policy's parameters are not finite, or its inputs are not"
            )
        return array.reshape(-1, *space.shape).clip(space.low, space.high).astype(space.dtype)

    def close(self) -> None:
        """Close the vector environments and end their processes; the next reset makes new ones."""
        while self._rounds:
            self._rounds.popitem()[1].close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # nothing can be reported from here, least of all at interpreter exit
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rounds": {}}  # a copy, here or in another process, makes its own environments


class GymnasiumState(NamedTuple):
    """Position in a round of episodes; gymnasium holds the episodes themselves.

    Attributes:
        current: the vector environment.
        number: of the round in this vector environment.
        time: steps taken.
        over: (B,) bool, whether the episode has ended.
        truncated: (B,) bool, whether a time limit truncated the episode in the last step.
        dtype: of observations and rewards.
    """

    current: _Round
    number: int
    time: int
    over: np.ndarray
    truncated: np.ndarray
    dtype: torch.dtype


@dataclass
class _Round:
    """A vector environment and its position."""

    vector: Any
    number: int = 0
    time: int = 0
    to_reset: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    mode: str | None = None

    def __post_init__(self) -> None:
        self.mode = declared_mode(self.vector)

    def find_dead(self) -> list[int]:
        """Indices of episodes whose process has ended."""
        sleep(0.1)  # a process closes its pipe slightly before it ends
        processes = getattr(self.vector, "processes", [])
        return [index for index, process in enumerate(processes) if not process.is_alive()]

    def close(self, is_broken: bool = False) -> None:
        """Close it; if it is broken, without waiting for answers of its processes."""
        self.number = -1  # invalidates all states of it
        if not is_broken:
            self.vector.close()
            return
        for process in getattr(self.vector, "processes", []):
            process.terminate()
            process.join()
        with contextlib.suppress(Exception):  # what broke it is being raised already
            self.vector.close()
        self.vector.closed = True  # otherwise its __del__ tries again


class RolloutError(RuntimeError, UserError):
    """An environment cannot do what a rollout needs; the text is the whole message."""


def _bounds(space: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Bounds of observations as they are returned; a single one if all are equal, none if all are infinite."""
    shade = 255 if space.dtype == np.uint8 else 1
    low, high = (np.ravel(edge).astype(float) / shade for edge in (space.low, space.high))
    if np.isinf(low).all() and np.isinf(high).all():
        return (), ()
    is_one = (low == low[0]).all() and (high == high[0]).all()
    size = 1 if is_one else len(low)
    return low[:size].tolist(), high[:size].tolist()
