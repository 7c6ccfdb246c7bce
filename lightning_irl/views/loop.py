"""The training loop of every view: two modules descend in turn, in rounds, within Lightning's hooks."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_irl.costs.base import Cost
from lightning_irl.learners.base import Learner
from lightning_irl.limits import above
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.views import factories
from lightning_irl.views.descent import Descent, default_optimizer
from lightning_irl.views.health import CHECK_EVERY, Health
from lightning_irl.views.modules import trainable
from lightning_irl.views.resume import Resume

OPTIMIZERS = ("cost", "sampler", "warm_start")
LOG_Z_SPEED = 10.0  # learning rate of a learned log_z, as a multiple of the cost's


class Loop(pl.LightningModule, abc.ABC):
    """Trains ``cost`` and ``sampler`` in turn; subclasses define :meth:`train_batch`.

    A round is ``cost_steps`` batches, each with one step of the cost, then ``sampler_steps`` steps of the sampler.

    Args:
        warm_start: batches at the start in which only the sampler is trained, by maximum likelihood.
        warm_start_optimizer: factory of the sampler's optimizer in the warm start; by default ``sampler_optimizer``.
        warm_start_scheduler: factory of its learning-rate schedule.
        cost_steps: batches, each with one step of the cost, in a round; 0 holds the cost fixed (the sampler learns it).
        sampler_steps: steps of the sampler in a round; 0 holds the sampler fixed (noise-contrastive estimation). With
            both 0 only the warm start trains: maximum likelihood of the sampler alone.
        cost_optimizer: factory of the cost's optimizer, called with its parameters.
        sampler_optimizer: factory of the sampler's optimizer.
        cost_scheduler: factory of the cost's learning-rate schedule, called with the optimizer. Schedules are stepped
            once a batch: the warm start's during it, the others after it.
        sampler_scheduler: factory of the sampler's learning-rate schedule.
        clip_norm: largest norm of the gradient of cost and of sampler; None for no clipping.
        accumulate: batches whose gradients are averaged into one step. log Z is solved per batch, so this is not the
            same as one larger batch.

    Attributes:
        environment_steps: steps that this process has taken in the environment in training. After a resume the first
            process holds the earlier steps of all.
        evaluated_at: batches trained when ``val`` and ``test`` were last evaluated.
        began_at: batches trained when this fit began.
        saved_at: batches trained when a checkpoint was last made; -1 before.
        described: descriptions of the options that a checkpoint cannot hold, by name.
    """

    PRESET: tuple[str, ...] = ()  # arguments of its base that a subclass sets itself, so that they are not its options
    cost: Cost
    sampler: Sampler
    learner: Learner
    log_z: Tensor
    environment_steps: Tensor

    def __init__(
        self,
        warm_start: int = 0,
        warm_start_optimizer: OptimizerCallable | None = None,
        warm_start_scheduler: LRSchedulerCallable | None = None,
        cost_steps: int = 1,
        sampler_steps: int = 1,
        cost_optimizer: OptimizerCallable = default_optimizer,
        sampler_optimizer: OptimizerCallable = default_optimizer,
        cost_scheduler: LRSchedulerCallable | None = None,
        sampler_scheduler: LRSchedulerCallable | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        above(0, accumulate=accumulate, clip_norm=clip_norm)
        if min(cost_steps, sampler_steps, warm_start) < 0:
            raise ValueError("cost_steps, sampler_steps, warm_start and likelihood_weight must not be negative")
        if not (cost_steps or sampler_steps or warm_start):
            raise ValueError(
                "cost_steps, sampler_steps and warm_start are 0, so nothing learns; for maximum likelihood of the "
                "sampler alone set warm_start to the number of batches"
            )
        if accumulate > 1 and sampler_steps > 1:
            raise ValueError(f"accumulate is {accumulate} and sampler_steps {sampler_steps}; one of them must be 1")
        self.save_hyperparameters(ignore=self.PRESET)
        # a factory given in Python is code, which a checkpoint must not hold
        self.is_configured, self.described = "_instantiator" in self.hparams, factories.set_aside(self)
        self.automatic_optimization = False
        self.warm_start, self.cost_steps, self.sampler_steps = warm_start, cost_steps, sampler_steps
        self.cost_optimizer, self.sampler_optimizer = cost_optimizer, sampler_optimizer
        self.cost_scheduler, self.sampler_scheduler = cost_scheduler, sampler_scheduler
        self.warm_start_optimizer, self.warm_start_scheduler = warm_start_optimizer, warm_start_scheduler
        self.clip_norm, self.accumulate = clip_norm, accumulate
        self.register_buffer("environment_steps", torch.zeros((), dtype=torch.long), persistent=False)
        # each process counts its own: DistributedDataParallel would overwrite it with the first process's
        self._ddp_params_and_buffers_to_ignore = ["environment_steps"]
        self.descent, self.health, self.resume = Descent(clip_norm, accumulate), Health(OPTIMIZERS), Resume()
        self.evaluated_at: dict[str, int] = {}
        self.began_at, self.saved_at = 0, -1
        self._shown: dict[str, Tensor] = {}  # losses of this batch, for the progress bar
        self._batch = 0  # an int on the host, so that reading it never waits for the device

    # ---- where training is

    @property
    def batches(self) -> int:
        """Batches trained so far, including those before a resume."""
        return self._batch

    def count(self, batches: int) -> None:
        """Set the number of batches trained so far."""
        self._batch = batches

    @property
    def phase_batch(self) -> int:
        """Batches since the start, or since the end of the warm start."""
        return self._batch if self._batch < self.warm_start else self._batch - self.warm_start

    @property
    def is_accumulating(self) -> bool:
        """Whether parameters hold gradients that no step has used yet."""
        return self.phase_batch % self.accumulate != 0

    @property
    def has_trainer(self) -> bool:
        """Whether a trainer is attached."""
        return self._trainer is not None

    @property
    def is_logged(self) -> bool:
        """Whether this batch's scalars are logged; False outside of training."""
        return self.has_trainer and (self._batch + 1) % self.log_every == 0

    @property
    def log_every(self) -> int:
        """Batches between two logged values: the trainer's ``log_every_n_steps``."""
        every: int = getattr(self.trainer, "log_every_n_steps", 50)
        return max(every, 1)

    def record(self, key: str, value: Tensor) -> None:
        """Log a scalar at the trainer's logging interval, without reading it back at other batches."""
        if self.is_logged:
            self.log(key, value.detach())
            if key.startswith("loss/"):
                self._shown[key] = value.detach()

    # ---- training

    @abc.abstractmethod
    def train_batch(self, batch: Batch) -> None:
        """Train on one batch, by calling :meth:`descend`."""

    def descend(self, name: str, loss_of: Callable[[], Tensor]) -> None:
        """Descend a loss with the optimizer ``name`` (``cost``, ``sampler`` or ``warm_start``).

        The other module is held constant.
        """
        self.descent.descend(self, name, loss_of)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        try:
            self.train_batch(batch)
        except Exception:  # such as an environment given non-finite actions: report what became non-finite first
            self.health.check(self, here=True)
            self.health.check_parameters(self)
            raise
        self.descent.step_schedules(self, self._batch < self.warm_start)
        self.record_progress()
        self._batch += 1
        if self._batch % CHECK_EVERY == 0:
            self.health.check(self)
            for line in self.standstills():
                rank_zero_warn(line)  # shown once a run by Python's warning filter, since the line stays the same

    def record_progress(self) -> None:
        """Log the state after a batch's descents."""

    def standstills(self) -> list[str]:
        """Modules whose gradient has been exactly zero for :data:`CHECK_EVERY` batches or more, a line each."""
        return self.health.standstills(self._batch)

    def process_state(self) -> dict[str, Any]:
        """State of this process that a resumed run needs, as plain data; a checkpoint holds that of every process."""
        return self.resume.process_state(self)

    def restore_process(self, state: dict[str, Any]) -> None:
        """Restore the result of :meth:`process_state`."""
        self.resume.restore_process(state)

    def configure_optimizers(self) -> Any:
        sampler, cost = trainable(self.sampler) + trainable(self.learner), trainable(self.cost)
        made = {}
        if self.cost_steps:
            made["cost"] = self.configure_cost_optimizer(), self.cost_scheduler
        if sampler and self.sampler_steps:
            made["sampler"] = self.sampler_optimizer(sampler), self.sampler_scheduler
        if sampler and self.warm_start:
            optimizer_of = self.warm_start_optimizer or self.sampler_optimizer
            made["warm_start"] = optimizer_of(sampler), self.warm_start_scheduler
        return self.descent.configure(self, made, {"cost": sampler, "sampler": cost, "warm_start": cost})

    def configure_cost_optimizer(self) -> Optimizer:
        """The optimizer of the cost, and of a learned log_z."""
        optimizer = self.cost_optimizer(trainable(self.cost))
        if isinstance(self.log_z, nn.Parameter):
            speed = LOG_Z_SPEED * optimizer.defaults["lr"]
            optimizer.add_param_group({"params": [self.log_z], "lr": speed, "weight_decay": 0.0})
        return optimizer
