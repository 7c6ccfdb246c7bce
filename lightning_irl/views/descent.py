"""Gradient descent of a view: an optimizer for each loss, with its schedule, clipping and accumulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from lightning_irl import processes
from lightning_irl.views import trainer_limits
from lightning_irl.views.modules import frozen

if TYPE_CHECKING:
    from lightning_irl.views.loop import Loop

Made = dict[str, tuple[Optimizer, Callable[[Optimizer], Any] | None]]


def default_optimizer(parameters: Any) -> Optimizer:
    """Adam with a learning rate of 1e-3."""
    return torch.optim.Adam(parameters, lr=1e-3)


class Descent:
    """Steps a view's optimizers, each on its own loss, with the other module held constant.

    Args:
        clip_norm: largest norm of a gradient; None for no clipping.
        accumulate: batches whose gradients are averaged into one step.

    Attributes:
        names: the optimizers' names, in the trainer's order: those of ``cost``, ``sampler``, ``warm_start`` that exist.
        norms: the norm of each one's gradient at its last step, before clipping; scalars on their device.
    """

    def __init__(self, clip_norm: float | None, accumulate: int) -> None:
        self.clip_norm, self.accumulate = clip_norm, accumulate
        self.names: list[str] = []
        self.norms: dict[str, Tensor] = {}
        self._scheduled: list[str] = []
        self._held: dict[str, list[nn.Parameter]] = {}

    def configure(self, loop: Loop, made: Made, held: dict[str, list[nn.Parameter]]) -> Any:
        """Register optimizers, factories of their schedules, and the parameters held constant during each one's loss.

        Returns:
            Optimizers and schedules, as Lightning expects them.

        Raises:
            UserError: if a view cannot step an optimizer or a schedule.
        """
        self.names, self._held = list(made), held
        self._scheduled = [name for name, (_, scheduler) in made.items() if scheduler]
        schedulers = []
        for name, (optimizer, factory) in made.items():
            scheduler = factory(optimizer) if factory else None
            batches = trainer_limits.batches_of(name, loop.trainer if loop.has_trainer else None, loop.warm_start)
            trainer_limits.check_descent(name, optimizer, scheduler, batches)
            schedulers += [scheduler] if scheduler else []
        return [optimizer for optimizer, _ in made.values()], schedulers

    def descend(self, loop: Loop, name: str, loss_of: Callable[[], Tensor]) -> None:
        """Take a step on a loss with the optimizer ``name``, or add this batch's share while gradients accumulate."""
        with frozen(self._held[name]):
            loss = loss_of()
            _leave_gradients_to_us(loop)
            loop.manual_backward(loss / self.accumulate)
        loop.health.watch(f"loss/{name}", loss, loop.batches)
        loop.record(f"loss/{name}", processes.average(loss) if loop.is_logged else loss)
        if (loop.phase_batch + 1) % self.accumulate == 0:
            optimizers: Any = loop.optimizers()
            optimizer = (optimizers if isinstance(optimizers, list) else [optimizers])[self.names.index(name)]
            processes.average_gradients([one for group in optimizer.param_groups for one in group["params"]])
            optimizer.step()
            optimizer.zero_grad()
            # logged here and not in the hook that finds it: in an epoch's first batch Lightning drops that
            loop.record(f"gradient/{name}_norm", self.norms[name])

    def clip(self, loop: Loop, optimizer: Optimizer) -> None:
        """Compute the norm of an optimizer's gradient, and clip it to ``clip_norm``."""
        name = next(name for name, one in zip(self.names, loop.trainer.optimizers, strict=True) if one is optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters])
        if self.clip_norm is not None:
            clip_grads_with_norm_(parameters, self.clip_norm, norm)
        loop.health.watch(f"gradient/{name}", norm, loop.batches)
        self.norms[name] = norm

    def step_schedules(self, loop: Loop, is_warming: bool) -> None:
        """Step the schedules once a batch: the warm start's during it, the others after it."""
        schedulers: Any = loop.lr_schedulers() or []
        each = schedulers if isinstance(schedulers, list) else [schedulers]
        for name, scheduler in zip(self._scheduled, each, strict=True):
            if (name == "warm_start") == is_warming:
                scheduler.step()


def _leave_gradients_to_us(loop: Loop) -> None:
    """Stop DistributedDataParallel, if it wraps the view, from averaging gradients in the backward pass.

    It would exchange both modules' gradients in each descent, search for unused parameters, and do so in every batch
    while gradients accumulate.
    """
    wrapper = loop.trainer.strategy.model if loop.has_trainer else None
    if isinstance(wrapper, DistributedDataParallel):
        wrapper.require_backward_grad_sync = False  # Lightning sets it again after each batch
