"""State that a resumed run needs besides weights and optimizers: counters, random states, unfinished gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from lightning_irl import processes
from lightning_irl.views import checkpoints, factories, launched
from lightning_irl.views.checks import check_loaded

if TYPE_CHECKING:
    from lightning_irl.views.loop import Loop


class Resume:
    """Writes this state into checkpoints, and keeps what was read from one until training begins.

    Attributes:
        hands_back: whether a fit has ended in a process that Lightning started, so that state returns to the caller.
    """

    def __init__(self) -> None:
        self.hands_back = False
        self._random_state: dict[str, Tensor] | None = None
        self._gradients: dict[str, Tensor] = {}

    def save(self, loop: Loop, checkpoint: dict[str, Any]) -> None:
        """Add this state to a checkpoint."""
        checkpoint["batches"] = loop.saved_at = loop.batches
        if loop.has_trainer:
            checkpoints.mark_place_in_epoch(loop.trainer, checkpoint)
        checkpoint["environment_steps"] = processes.total(loop.environment_steps)
        checkpoint["processes"] = processes.gather_objects(loop.process_state())
        checkpoint[factories.KEY] = loop.described

    def load(self, loop: Loop, checkpoint: dict[str, Any]) -> None:
        """Read this state from a checkpoint, before its weights are loaded."""
        check_loaded(checkpoint, loop)
        loop.count(checkpoint.get("batches", 0))
        loop.saved_at = loop.batches
        if not loop.is_configured:
            factories.say_missing(checkpoint.get(factories.KEY, {}), loop.described)
        if processes.process_index() == 0:
            loop.environment_steps.copy_(checkpoint.get("environment_steps", 0))
        states = checkpoint.get("processes", [])
        if len(states) == processes.num_processes():
            loop.restore_process(states[processes.process_index()])
        elif loop.has_trainer and loop.trainer.state.fn == "fit":
            rank_zero_warn(
                f"the checkpoint is of {len(states)} processes, but {processes.num_processes()} resume it: weights, "
                "optimizers and log_z are restored, random numbers and each process's own state (chains, earlier "
                "rounds) start anew"
            )

    def process_state(self, loop: Loop) -> dict[str, Any]:
        """This process's random state, and the gradients that no step has used yet."""
        state: dict[str, Any] = {"random": processes.random_state(loop.device)}
        if loop.is_accumulating:
            gradients = {name: parameter.grad for name, parameter in loop.named_parameters()}
            state["gradients"] = {name: gradient for name, gradient in gradients.items() if gradient is not None}
        return state

    def restore_process(self, state: dict[str, Any]) -> None:
        """Keep the result of :meth:`process_state` until :meth:`begin`."""
        self._random_state, self._gradients = state["random"], state.get("gradients", {})

    def begin(self, loop: Loop) -> None:
        """Restore random state and gradients, after Lightning's own work before the first batch, which draws too."""
        if self._random_state is not None:
            processes.set_random_state(self._random_state, loop.device)
            self._random_state = None
        for name, gradient in self._gradients.items():
            loop.get_parameter(name).grad = gradient.to(loop.device)
        self._gradients = {}

    def end(self, loop: Loop) -> None:
        """At the end of a fit, say which weights no checkpoint has, and what returns to the process that called it."""
        checkpoints.say_what_is_missing(loop.trainer, loop)
        self.hands_back = launched.is_launched(loop.trainer)
        if self.hands_back:
            launched.say_what_comes_back(loop.trainer)

    def hand_back(self, loop: Loop, weights: dict[str, Any]) -> dict[str, Any]:
        """Weights, with the counters if Lightning returns them to the process that called ``fit``."""
        return {**weights, launched.COUNTERS: launched.counters(loop)} if self.hands_back else weights

    def take_back(self, loop: Loop, weights: Mapping[str, Any]) -> Mapping[str, Any]:
        """Weights without the counters that :meth:`hand_back` added, which the view takes up."""
        counted = weights.get(launched.COUNTERS)
        if counted is None:
            return weights
        loop.count(counted["batches"])
        loop.evaluated_at = counted["evaluated_at"]
        loop.environment_steps.fill_(counted["environment_steps"])
        return {key: value for key, value in weights.items() if key != launched.COUNTERS}
