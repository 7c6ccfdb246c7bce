"""Demonstrations as trajectories of any length, with checks of every one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from pytorch_lightning.utilities import rank_zero_warn

from lightning_irl.datamodules.conversion import Array, as_array, as_flag, as_integers, is_nan, length, with_last_added
from lightning_irl.errors import did_you_mean

PARTS = ("observations", "actions", "rewards", "log_probs")
HOW_TO_CONVERT = (
    "In Python: write_npz('mine.npz', Demonstrations(observations, actions)), "
    "lists with one array per episode (docs/trajectories.md)"
)
MANY = 100  # steps; in so many, a single action is no accident
MOST_REASONS = 3  # for leaving out trajectories that one line names
METADATA = ("horizon", "num_actions", "action_low", "action_high", "environment")


@dataclass(frozen=True)
class Demonstrations:
    """Whole episodes, each of its own length. Lists and tensors are converted to arrays.

    Where the state after the last action is not known (every trajectory has as many observations as actions, or a last
    observation is NaN throughout), the last step is left out, with a warning.

    Attributes:
        observations: of each episode (T_i + 1, *obs), the one after the last action included.
        actions: of each (T_i, *act); integers where they are discrete. None, or NaN throughout, where only states were
            recorded: they are (T_i, 0) then.
        rewards: true rewards of each (T_i,), NaN where one is not known; None where none is. Nothing learns from them.
        terminal: of each, whether the environment ended it, None where that is not known; None if the file does not
            say.
        name: what messages call them, such as the file's path.
        metadata: what else the file holds: horizon, num_actions, action_low, action_high, environment.
        log_probs: of each (T_i,), log pi(a | s) of the policy that acted, or None where it is not known.

    Args:
        skip_invalid: leave out trajectories that would be refused, and say how many and why.

    Raises:
        ValueError: naming the trajectory, and the step where there is one, if lengths, shapes or types do not fit or a
            number is NaN or infinite (in single precision, as it will be served).

    Example:
        >>> Demonstrations([np.zeros((4, 2)), np.zeros((3, 2))], [np.zeros((3, 1)), np.zeros((2, 1))]).lengths
        [3, 2]
    """

    observations: Sequence[Array]
    actions: Sequence[Array]
    rewards: Sequence[Array] | None = None
    terminal: Sequence[bool | None] | None = None
    name: str = "demonstrations"
    metadata: dict[str, Any] = field(default_factory=dict)
    log_probs: Sequence[Array] | None = None
    skip_invalid: InitVar[bool] = False

    def __post_init__(self, skip_invalid: bool) -> None:
        if self.actions is None:
            self._set("actions", [np.empty((max(length(seen) - 1, 0), 0), np.float32) for seen in self.observations])
        number = len(self.actions)
        if not number:
            raise ValueError(f"{self.name} holds no trajectory")
        for key in self.metadata:
            if key not in METADATA:
                raise ValueError(f"{self.name}: metadata {key!r} is not known; {did_you_mean(key, METADATA)}")
        for what in ("observations", "rewards", "terminal", "log_probs"):
            parts = getattr(self, what)
            if parts is not None and len(parts) != number:
                raise ValueError(f"{self.name} has actions of {number} trajectories, but {what} of {len(parts)}")
        for what in PARTS:
            if (parts := getattr(self, what)) is not None:
                self._set(what, [as_array(part) for part in parts])
        if all(isinstance(part, np.ndarray) and len(part) and is_nan(part) for part in self.actions):
            self._set("actions", [np.empty((len(part), 0), np.float32) for part in self.actions])
        self._set("actions", [as_integers(part) for part in self.actions])
        if self.rewards is not None:
            unknown = [np.full(length(acts), np.nan) for acts in self.actions]
            self._set("rewards", [n if r is None else r for r, n in zip(self.rewards, unknown, strict=True)])
        if self.terminal is not None:
            self._set("terminal", [as_flag(self.name, index, flag) for index, flag in enumerate(self.terminal)])
        self._leave_out_unknown_steps()
        self._validate(skip_invalid)
        self._note_unknown_rewards()
        self._note_constant_actions()

    def _set(self, what: str, value: Any) -> None:
        object.__setattr__(self, what, value)

    def _keep(self, kept: Sequence[int]) -> None:
        """Keep only these trajectories."""
        for what in (*PARTS, "terminal"):
            if (parts := getattr(self, what)) is not None:
                self._set(what, [parts[index] for index in kept])

    def _leave_out_unknown_steps(self) -> None:
        """Cut the last step where the state after it is not known."""
        pairs = list(zip(self.observations, self.actions, strict=True))
        arrays = [(seen, done) for seen, done in pairs if isinstance(seen, np.ndarray) and isinstance(done, np.ndarray)]
        as_many = bool(arrays) and all(len(seen) == len(done) for seen, done in arrays)
        unknown = [
            index
            for index, (seen, done) in enumerate(pairs)
            if isinstance(seen, np.ndarray)
            and isinstance(done, np.ndarray)
            and len(done) > 1
            and (as_many or (len(seen) == len(done) + 1 and is_nan(seen[-1]) and not is_nan(seen[-2])))
        ]
        if not unknown:
            return
        observations, parts = list(self.observations), {what: list(getattr(self, what) or ()) for what in PARTS[1:]}
        for index in unknown:
            observations[index] = observations[index][: len(self.actions[index])]
            if parts["rewards"] and self.terminal is not None and self.terminal[index]:
                parts["rewards"][index] = with_last_added(parts["rewards"][index])
            for values in parts.values():
                if values and isinstance(values[index], np.ndarray):
                    values[index] = values[index][: len(self.actions[index]) - 1]
        longest = max((len(done) for _, done in arrays), default=0)
        self._set("observations", observations)
        for what, values in parts.items():
            if values:
                self._set(what, values)
        if len(unknown) == len(pairs) and self.metadata.get("horizon") == longest:
            self._set("metadata", {**self.metadata, "horizon": longest - 1})
        rank_zero_warn(
            f"{self.name}: the state after the last action is not known in {len(unknown)} of {len(pairs)} "
            "trajectories, so their last step is left out; where the environment ended the episode there, "
            "its reward is added to that of the step before"
        )

    def _validate(self, skip_invalid: bool) -> None:
        number, reference = len(self.actions), self._most_common() if skip_invalid else 0
        faults: dict[int, str] = {}
        for index in range(number):
            try:
                self._check(index, reference)
            except ValueError as error:
                if not skip_invalid:
                    raise
                faults[index] = str(error).removeprefix(f"{self.name}, ")
        self.leave_out(faults)

    def leave_out(self, faults: dict[int, str]) -> None:
        """Leave out trajectories by their index, for the reasons given, and say so.

        Raises:
            ValueError: if none would be left.
        """
        if not faults:
            return
        number = len(self.actions)
        reasons = list(faults.values())[:MOST_REASONS] + ["..."] * (len(faults) > MOST_REASONS)
        if len(faults) == number:
            raise ValueError(f"{self.name}: all {number} trajectories are invalid and none is left: {reasons[0]}")
        rank_zero_warn(f"{self.name}: {len(faults)} of {number} trajectories are left out: {'; '.join(reasons)}")
        self._keep([index for index in range(number) if index not in faults])

    def _most_common(self) -> int:
        """The first trajectory with the most common shapes and types."""
        kinds = [
            tuple((part.shape[1:], part.dtype.kind) if isinstance(part, np.ndarray) else () for part in pair)
            for pair in zip(self.observations, self.actions, strict=True)
        ]
        return kinds.index(Counter(kinds).most_common(1)[0][0])

    def _check(self, index: int, reference: int) -> None:
        where = f"{self.name}, trajectory {index}"
        for parts in (self.actions, self.observations, self.rewards, self.log_probs):
            if parts is not None and isinstance(reason := parts[index], ValueError):
                raise ValueError(f"{where}, {reason}")
        steps = len(self.actions[index])
        if not steps:
            raise ValueError(f"{where}: it has no step")
        for what, parts, needed in (
            ("observation", self.observations, steps + 1),
            ("action", self.actions, steps),
            ("reward", self.rewards, steps),
            ("log_prob", self.log_probs, steps),
        ):
            if parts is None:
                continue
            values, first = parts[index], parts[reference]
            if len(values) != needed:
                rule = "one more observation, the one after the last action" if needed > steps else "as many"
                raise ValueError(f"{where}: {len(values)} {what}s and {steps} actions; there must be {rule}")
            if values.dtype.kind not in "iuf":
                raise ValueError(f"{where}: {what}s are of type {values.dtype}; they must be numbers")
            if what in ("reward", "log_prob"):
                if values.ndim > 1:
                    raise ValueError(
                        f"{where}: {what}s of shape {list(values.shape)}; one number per step, ({needed},), is needed"
                    )
            elif values.shape[1:] != first.shape[1:] or values.dtype.kind != first.dtype.kind:
                raise ValueError(
                    f"{where}: {what}s of shape {list(values.shape[1:])} and type {values.dtype}, "
                    f"trajectory {reference} has {list(first.shape[1:])} and {first.dtype}"
                )
            with np.errstate(over="ignore"):
                single = values.reshape(needed, -1).astype(np.float32)
            bad = ~np.isfinite(single).all(1)
            if what == "reward":
                bad &= ~np.isnan(values)
            if bad.any():
                step = int(bad.argmax())
                raise ValueError(f"{where}, step {step}: {what} is NaN or infinite: {values[step]}")

    def _note_unknown_rewards(self) -> None:
        """Warn of rewards that are NaN, so not known; they are not refused, since nothing learns from them."""
        unknown = [] if self.rewards is None else [bool(np.isnan(rewards).any()) for rewards in self.rewards]
        if not any(unknown):
            return
        others = "without them there is no expert return, and reports give no normalised return"
        if all(unknown):
            self._set("rewards", None)
        else:
            others = "the expert return is the mean of the others"
        rank_zero_warn(
            f"{self.name}: rewards of {sum(unknown)} of {len(unknown)} trajectories are NaN and taken as "
            f"not known; {others}"
        )

    def _note_constant_actions(self) -> None:
        """Warn of continuous actions that never change, which stand for no actions in some files."""
        first = self.actions[0][0]
        is_continuous = bool(first.size) and first.dtype.kind == "f"
        if is_continuous and sum(self.lengths) >= MANY and all((actions == first).all() for actions in self.actions):
            rank_zero_warn(
                f"{self.name}: all {sum(self.lengths)} actions are {first.tolist()}; "
                "if actions are not known, leave them out (no acts in the file), and only states are learned from"
            )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def has_actions(self) -> bool:
        """Whether actions were recorded, and not states alone."""
        return self.actions[0].shape[1:] != (0,)

    @property
    def lengths(self) -> list[int]:
        """Steps of each episode."""
        return [len(actions) for actions in self.actions]

    @property
    def returns(self) -> list[float] | None:
        """Sum of the true rewards of each episode; NaN where one is not known."""
        if self.rewards is None:
            return None
        return [float(np.sum(rewards, dtype=np.float64)) for rewards in self.rewards]
