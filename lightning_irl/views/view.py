"""What the views share: one cost, one sampler, and the rounds that train them in turn."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from lightning_irl import objectives, processes
from lightning_irl.costs.base import Cost
from lightning_irl.costs.energy import Energy
from lightning_irl.learners import Learner, Reparameterised
from lightning_irl.limits import above, at_least
from lightning_irl.processes import share
from lightning_irl.regularisers import Regulariser
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, validate_event, without_guesses
from lightning_irl.spaces.samples import Samples, count, join
from lightning_irl.spaces.served import as_batch
from lightning_irl.spaces.trajectory import Trajectory, cut
from lightning_irl.views import averages, checkpoints, factories, launched, monitors, options, trainer_limits
from lightning_irl.views.contracts import check_data, data_of
from lightning_irl.views.devices import check_device
from lightning_irl.views.environment import compare_with_environment
from lightning_irl.views.finite import FiniteMonitor, NonFiniteError
from lightning_irl.views.guided_cost import GuidedCost
from lightning_irl.views.learning_rates import name_learning_rates
from lightning_irl.views.states_alone import check_states_alone

OPTIMIZERS = ("cost", "sampler", "warm_start")
STAGES, EVALUATED = ("val", "test"), ("cost", "log_det", "nll_sampler")
SHAPED = "step_cost.cost."  # where a shaped cost of trajectories keeps its g
CHECK_EVERY = 50  # batches between two looks at the record of losses and gradients
STANDSTILL = {
    "cost": (
        "Its values may all lie at a bound (of a TiltedCost: hold its constant by regulariser CostOffset, or raise "
        "the bound), or "
        "its loss be satisfied everywhere: lower the learning rate, or start anew"
    ),
    "sampler": (
        "Its draws may all lie where the cost is flat, or its loss be saturated: lower the learning rate, or start anew"
    ),
    "warm_start": "Its likelihood may not depend on its parameters: look at the sampler",
}


def default_optimizer(parameters: Any) -> Optimizer:
    """Adam with a learning rate of 1e-3."""
    return torch.optim.Adam(parameters, lr=1e-3)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that require a gradient."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@contextmanager
def frozen(held: Sequence[nn.Parameter]) -> Iterator[None]:
    """Hold parameters that require a gradient constant: gradients pass through them, none is computed for them."""
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode; afterwards each part of it is as it was."""
    states = [
        vars(part) for part in module.modules() if part.training
    ]  # Module.__setattr__ is slow, and this is in every step
    for state in states:
        state["training"] = False
    try:
        yield
    finally:
        for state in states:
            state["training"] = True


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read a view's checkpoint as data, onto the CPU.

    Raises:
        ValueError: if there is no such file, or it is truncated or no checkpoint of a view.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {path}") from None
    except Exception as error:  # torch raises many kinds for a file that is not what it should be
        reason = str(error).partition("\n")[0]
        detail = f": {reason}" if " " in reason else ""  # the text of some is a byte
        raise ValueError(f"{path} is truncated or no checkpoint{detail}") from None
    if "state_dict" not in checkpoint or "log_z" not in checkpoint["state_dict"]:
        raise ValueError(f"{path} is not the checkpoint of a view; it lacks cost, sampler and log_z")
    return checkpoint


def segment_length(event: Event, level: str | int) -> int | None:
    """Steps of a sample at a level, ``trajectory``, ``transition`` or a number of steps; None for samples as they are.

    Raises:
        ValueError: if the level is none of these, or does not apply to the event.
    """
    if level == "trajectory":
        return None
    length = 1 if level == "transition" else level
    if not isinstance(length, int) or length < 1:
        raise ValueError(f"level is {level!r}; allowed: trajectory, transition, or the number of steps of a segment")
    if event["kind"] != "trajectory":
        raise ValueError(f"level is {level!r}, but the data is of kind {event['kind']}, which has no steps; remove it")
    if event["horizon"] % length:
        raise ValueError(
            f"level is {level}, but segments of {length} steps do not divide a horizon of {event['horizon']}"
        )
    return length


def _under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    """The entries of a state under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _load(module: nn.Module, part: str, state: dict[str, Any], path: str) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"the {part} in {path} is not this {type(module).__name__}: {error}") from None


class View(pl.LightningModule, abc.ABC):
    """Trains one cost and one sampler in turn; a kind of view is its :meth:`cost_loss` and its :meth:`sampler_loss`.

    A round is ``cost_steps`` batches, each with one step of the cost, then ``sampler_steps`` steps of the sampler.

    Args:
        event: what one sample looks like; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        learner: factory of how the sampler descends, called with the event.
        regularisers: factories of terms that are added to the cost's loss, each called with the event; with any it is
            no longer the paper's objective.
        temperature: T; the model is exp(-c/T)/Z and the sampler minimises E_q[c] + T E_q[log q].
        entropy_weight: over the paper's weight on E_q[log q]; anything but 1 is no longer the paper's objective.
        likelihood_weight: weight of -E_p[log q] added to the sampler's loss (Flow-GAN's hybrid, Grover et al. 2018,
            arXiv 1705.08868); anything but 0 is no longer the paper's objective.
        warm_start: batches at the start in which the sampler alone is trained, by maximum likelihood.
        warm_start_optimizer: factory of the sampler's optimizer in the warm start; by default ``sampler_optimizer``.
        warm_start_scheduler: factory of its learning-rate schedule.
        level: what a sample is where the data is trajectories: the whole ``trajectory``, each ``transition``, or
            segments of so many steps.
        num_samples: draws of the sampler in each step, over all processes, whole trajectories whatever the level; by
            default as many as demonstrations.
        cost_steps: batches, each with one step of the cost, in a round; 0 holds the cost fixed (the sampler learns it).
        sampler_steps: steps of the sampler in a round; 0 holds the sampler fixed (noise-contrastive estimation). With
            both 0 the warm start is all there is: maximum likelihood of the sampler alone.
        cost_optimizer: factory of the cost's optimizer, called with its parameters.
        sampler_optimizer: factory of the sampler's optimizer.
        cost_scheduler: factory of the cost's learning-rate schedule, called with the optimizer. Schedules are stepped
            once a batch: the warm start's during it, the others after it.
        sampler_scheduler: factory of the sampler's learning-rate schedule.
        clip_norm: largest norm of the gradient of cost and of sampler; None for no clipping.
        accumulate: batches whose gradients are averaged into one step. log Z is found per batch, so this is not one
            larger batch.
        compile: compile the cost with ``torch.compile``.

    Attributes:
        cost: the cost c.
        sampler: the sampler q.
        log_z: log of the partition function as this view knows it, a scalar; NaN before the first batch and where there
            is none.
        environment_steps: that this process has acted in training, over resumes too (then the first one has those of
            all).
    """

    FIXED_SAMPLER = ""  # what training with a fixed sampler is called
    log_z: Tensor
    environment_steps: Tensor

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        learner: Callable[[Event], Learner] = Reparameterised,
        regularisers: Sequence[Callable[[Event], Regulariser]] = (),
        temperature: float = 1.0,
        entropy_weight: float = 1.0,
        likelihood_weight: float = 0.0,
        warm_start: int = 0,
        warm_start_optimizer: OptimizerCallable | None = None,
        warm_start_scheduler: LRSchedulerCallable | None = None,
        level: Literal["trajectory", "transition"] | int = "trajectory",
        num_samples: int | None = None,
        cost_steps: int = 1,
        sampler_steps: int = 1,
        cost_optimizer: OptimizerCallable = default_optimizer,
        sampler_optimizer: OptimizerCallable = default_optimizer,
        cost_scheduler: LRSchedulerCallable | None = None,
        sampler_scheduler: LRSchedulerCallable | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        compile: bool = False,
    ) -> None:
        super().__init__()
        validate_event(event)
        above(0, temperature=temperature, accumulate=accumulate, clip_norm=clip_norm)
        at_least(1, num_samples=num_samples)
        if min(cost_steps, sampler_steps, warm_start, likelihood_weight) < 0:
            raise ValueError("cost_steps, sampler_steps, warm_start and likelihood_weight must not be negative")
        if not (cost_steps or sampler_steps or warm_start):
            raise ValueError(
                "cost_steps, sampler_steps and warm_start are 0, so nothing learns; for maximum likelihood of the "
                "sampler alone set "
                "warm_start to the number of batches"
            )
        if accumulate > 1 and sampler_steps > 1:
            raise ValueError(f"accumulate is {accumulate} and sampler_steps {sampler_steps}; one of them must be 1")
        self.save_hyperparameters()
        # a factory given in Python is code, which a checkpoint must not hold
        self._is_configured, self._factories = "_instantiator" in self.hparams, factories.set_aside(self)
        self.automatic_optimization = False
        self.cost, self.sampler = cost(event), sampler(event)
        if (known := self.sampler.event) is not event:  # what it left open was taken from an environment
            self.cost = self.cost if known == without_guesses(event) else cost(known)
            event = self.hparams["event"] = known
        self.learner = learner(event)
        self.cost.start_from(self.sampler)
        self.regularisers = nn.ModuleList(regulariser(event) for regulariser in regularisers)
        self.event, self.temperature, self.entropy_weight = event, temperature, entropy_weight
        self.likelihood_weight, self.warm_start = likelihood_weight, warm_start
        self.segment_length = segment_length(event, level)
        self.num_samples, self.cost_steps, self.sampler_steps = num_samples, cost_steps, sampler_steps
        self.cost_optimizer, self.sampler_optimizer = cost_optimizer, sampler_optimizer
        self.cost_scheduler, self.sampler_scheduler = cost_scheduler, sampler_scheduler
        self.warm_start_optimizer, self.warm_start_scheduler = warm_start_optimizer, warm_start_scheduler
        self.clip_norm, self.accumulate = clip_norm, accumulate
        if sampler_steps:
            self.learner.check(self.sampler)
        if (sampler_steps or warm_start) and not trainable(self.sampler):
            raise ValueError(
                f"sampler {type(self.sampler).__name__} has nothing to learn; set sampler_steps and warm_start to 0"
            )
        if (likelihood_weight or warm_start) and not self.sampler.has_density:
            raise ValueError(
                f"sampler {type(self.sampler).__name__} has no density; "
                "set likelihood_weight and warm_start to 0 or use a sampler with a density, such as FlowSampler"
            )
        self._check_regularisers(compile)
        self.register_buffer("log_z", torch.tensor(torch.nan))
        self.register_buffer("environment_steps", torch.zeros((), dtype=torch.long), persistent=False)
        # a process's own count: DistributedDataParallel would put the first process's in its place
        self._ddp_params_and_buffers_to_ignore = ["environment_steps"]
        # exact over processes, however many samples each has; Lightning's own mean rounds their number
        self.means = nn.ModuleDict(
            {f"{stage}_{name}": MeanMetric(nan_strategy="disable") for stage in STAGES for name in EVALUATED}
        )
        self._random_state: dict[str, Tensor] | None = None  # of a run that continues, until its first batch
        self._gradients: dict[str, Tensor] = {}  # the same, where it was saved between two steps
        self.states_alone = False
        self.evaluated_at: dict[str, int] = {}  # batches trained when val and test were last evaluated
        self._hands_back = False
        self.began_at, self.saved_at = 0, -1  # batches trained when this fit began, and when a checkpoint was last made
        self._shown: dict[str, Tensor] = {}  # losses of this batch, for the progress bar
        self._batch = 0  # batches so far, over resumes too; an int on the host, so that reading it waits for nothing
        self.finite = FiniteMonitor(
            ["draws", *(f"{kind}/{name}" for name in OPTIMIZERS for kind in ("loss", "gradient"))]
        )
        if compile:
            self.cost.compile()

    def _check_regularisers(self, is_compiled: bool) -> None:
        names = [regulariser.name for regulariser in self._regularisers()]
        if names and not self.cost_steps:
            raise ValueError(
                f"regularisers are {', '.join(names)}, but cost_steps is 0: the cost does not learn; remove them"
            )
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"regulariser {name} is given {names.count(name)} times; give it once, with the sum of the weights"
                )
        slopes = [regulariser.name for regulariser in self._regularisers() if regulariser.needs_sample_gradient]
        if slopes and is_compiled:
            raise ValueError(
                f"regulariser {slopes[0]} takes a second derivative of the cost, which torch.compile does not have; "
                "remove compile"
            )

    def _regularisers(self) -> list[Regulariser]:
        return [module for module in self.regularisers if isinstance(module, Regulariser)]

    def init_from(self, path: str) -> None:
        """Continue another view's pair: take ``cost``, ``sampler`` and ``log_z`` from any view's checkpoint.

        Raises:
            ValueError: if the file is no checkpoint, or its pair has another architecture.
        """
        theirs = read_checkpoint(path)["state_dict"]
        for part, module in {"cost": self.cost, "sampler": self.sampler}.items():
            _load(module, part, _under(f"{part}.", theirs), path)
        with torch.no_grad():
            self.log_z.copy_(theirs["log_z"])

    def cost_from(self, path: str) -> None:
        """Take another view's ``cost`` alone, for a fresh sampler, perhaps in another environment.

        Where the cost there is a shaped one and here it is not, its g is taken: what does not depend on the dynamics
        (Fu et al. 2018).

        Raises:
            ValueError: if the file is no checkpoint, or its cost has another architecture.
        """
        state = _under("cost.", read_checkpoint(path)["state_dict"])
        part = _under(SHAPED, state)
        if part and not _under(SHAPED, self.cost.state_dict()):
            kept = {key: value for key, value in state.items() if not key.startswith("step_cost.")}
            state = kept | {f"step_cost.{key}": value for key, value in part.items()}
        _load(self.cost, "cost", state, path)

    @abc.abstractmethod
    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        """Loss of the cost.

        Args:
            demonstrations: (N, *shape).
            samples: draws of the sampler (M, *shape), constant.
            log_q: their log q (M,), constant; None without a density.

        Returns:
            A scalar in nats.
        """

    @abc.abstractmethod
    def sampler_loss(self, demonstrations: Samples) -> Tensor:
        """Loss of the sampler, over draws of its own.

        Args:
            demonstrations: (N, *shape), for their number and for a likelihood term.

        Returns:
            A scalar in nats.
        """

    @property
    def batches(self) -> int:
        """Batches trained so far, over resumes too."""
        return self._batch

    @property
    def has_model(self) -> bool:
        """Whether exp(-c/T)/Z is a model, of a cost that learns or teaches, with a sampler that can score it."""
        return self.sampler.has_density and bool(self.cost_steps or self.sampler_steps)

    def departures(self) -> list[str]:
        """What in this view is not the paper's objective, a line each; empty when it is the paper's."""
        found = []
        if self.entropy_weight != 1:
            found.append(f"entropy_weight is {self.entropy_weight}: the sampler's entropy counts that much")
        if self.likelihood_weight:
            found.append(f"likelihood_weight is {self.likelihood_weight}: the sampler also learns by likelihood")
        if not (self.cost_steps or self.sampler_steps):
            found.append(
                "cost_steps and sampler_steps are 0: the sampler learns by likelihood alone (of a policy, behavioural "
                "cloning)"
            )
        elif not self.cost_steps:
            found.append("cost_steps is 0: the cost is fixed, and the sampler learns what it asks for")
        elif not self.sampler_steps:
            found.append("sampler_steps is 0: the sampler is fixed" + self.FIXED_SAMPLER)
        found += [regulariser.departure() for regulariser in self._regularisers()]
        return found + self.learner.departures()

    def standstills(self) -> list[str]:
        """What of the pair has not learned for :data:`CHECK_EVERY` batches or more, a line each: its gradient is
        exactly zero.
        """
        return [
            f"the {name}'s gradient has been exactly 0 since batch {since}: it learns nothing. {STANDSTILL[name]}"
            for name in OPTIMIZERS
            if self._batch - (since := self.finite.zero_since.get(f"gradient/{name}", self._batch)) >= CHECK_EVERY
        ]

    @property
    def level_name(self) -> str:
        """What goes before the name of a quantity that is not the whole samples': ``transition_``, ``segment_`` or
        nothing.
        """
        return {None: "", 1: "transition_"}.get(self.segment_length, "segment_")

    def at_level(self, samples: Samples) -> Samples:
        """Samples as the losses see them: whole, or trajectories cut into segments or transitions."""
        if self.segment_length is None or not isinstance(samples, Trajectory):
            return samples
        return cut(samples, self.segment_length)

    def draw(self, num: int) -> tuple[Samples, Tensor | None]:
        """``num`` draws of the sampler, without gradient, at this view's level, with their log q where there is a
        density.
        """
        drawn, log_q = self.sampler.sample(num)
        samples = self.at_level(drawn)
        return samples, log_q if samples is drawn or log_q is None else self.log_density(samples)

    @property
    def energy(self) -> Energy:
        """c/T, a function of samples (B, *shape) to (B,), in nats."""
        return Energy(self.cost, self.temperature)

    @property
    def known_sampler(self) -> Sampler:
        """The sampler that estimates of log Z start from: the frozen one to which the cost is relative, where this
        view's own is frozen too; else this view's own."""
        return self.sampler if self.sampler_steps or self.cost.reference is None else self.cost.reference

    def energies(self, demonstrations: Samples, samples: Samples) -> tuple[Tensor, Tensor]:
        """c/T of demonstrations (N,) and of draws (M,), by one call of the cost."""
        both = self.energy(join([demonstrations, samples]))
        demo, sample = both.split([count(demonstrations), count(samples)])
        return demo, sample

    def guided_cost_loss(
        self, guided_cost: GuidedCost, demonstrations: Samples, samples: Samples, log_q: Tensor | None
    ) -> Tensor:
        """L_cost (section 2.3) by a negative phase, whose log Z becomes this view's ``log_z``; arguments as
        :meth:`cost_loss`.
        """
        demo_cost, sample_cost = self.energies(demonstrations, samples)
        loss, log_z = guided_cost(demonstrations, demo_cost, samples, sample_cost, log_q, self.log_density)
        if log_z is not None:
            with torch.no_grad():
                self.log_z.copy_(log_z)
        return loss  # type: ignore[no-any-return]

    def log_density(self, samples: Samples) -> Tensor:
        """log q of samples (B, *shape), held constant, at least in float32; (B,), in nats."""
        with torch.no_grad():
            log_q = self.sampler.log_prob(samples)
        return log_q if log_q.dtype == torch.float64 else log_q.float()

    def likelihood_loss(self, demonstrations: Samples) -> Tensor:
        """-E_p[log q] of the part of q that learns, in nats; the one term in which the sampler is in training mode,
        with its dropout.
        """
        counts = processes.counts_later([count(demonstrations)])
        self.sampler.train()
        loss = -processes.mean(self.sampler.learned_log_prob(demonstrations), counts)
        self.sampler.eval()
        return loss

    def draws(self, demonstrations: Samples) -> int:
        """Number of this process's draws of the sampler that go with its demonstrations at this view's level."""
        pieces = self.event["horizon"] // self.segment_length if self.segment_length else 1
        return share(self.num_samples) if self.num_samples else count(demonstrations) // pieces

    def step_objective(self, samples: Samples, log_q: Tensor | None) -> Tensor:
        """What the sampler descends, of each sample or of each step (B,), up to a constant: c/T + log q."""
        energy = self.energy(samples)
        return energy if log_q is None else energy + self.entropy_weight * log_q

    @property
    def scores_demonstrations(self) -> bool:
        """Whether log q of a demonstration exists: the sampler has a density, and the demonstrations have actions."""
        return self.sampler.has_density and not self.states_alone

    def setup(self, stage: str) -> None:
        check_device(self.trainer, self)
        check_data(self, self.trainer.datamodule)  # type: ignore[attr-defined]
        compare_with_environment(self.sampler, self.trainer.datamodule, stage)  # type: ignore[attr-defined]
        self.states_alone = check_states_alone(self, self.trainer.datamodule)  # type: ignore[attr-defined]
        if stage == "fit":
            steps = data_of(self.trainer).steps_per_epoch
            trainer_limits.check_trainer(self.trainer, self.steps_of_round, steps, self.warm_start // self.accumulate)
            trainer_limits.count_batches(self.trainer, self.num_optimizers)
            averages.put_in_place(self.trainer)
            name_learning_rates(self.trainer, lambda: self._names)
            for line in options.of_view(self, {**self.hparams, **self._factories}):
                rank_zero_warn(line)
            checkpoints.save_by_batches(self.trainer)

    @property
    def steps_of_round(self) -> tuple[int, int]:
        """Steps of the cost and of the sampler in a round, all of which Lightning's ``global_step`` counts."""
        return self.cost_steps, self.sampler_steps * self.learner.descents

    @property
    def num_optimizers(self) -> int:
        """Optimizers that this view steps, each of which Lightning's ``global_step`` counts."""
        return sum(bool(steps) for steps in (self.cost_steps, self.sampler_steps, self.warm_start))

    def _apply_batch_transfer_handler(self, batch: Any, *args: Any, **kwargs: Any) -> Batch:
        """The one place through which Lightning passes every batch: steps and callbacks alike get a Batch."""
        return as_batch(super()._apply_batch_transfer_handler(batch, *args, **kwargs), self.event, self.log_z.dtype)

    def on_fit_start(self) -> None:
        self.began_at = self._batch
        processes.separate_streams()

    def on_train_start(self) -> None:
        if self._random_state is not None:  # after what Lightning does before the first batch, which draws too
            processes.set_random_state(self._random_state, self.device)
            self._random_state = None
        trainer_limits.log_at(self.trainer, self._batch + 1)
        for name, gradient in self._gradients.items():
            self.get_parameter(name).grad = gradient.to(self.device)
        self._gradients = {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        trainer_limits.log_at(self.trainer, self._batch + 1)

    def on_validation_start(self) -> None:
        trainer_limits.log_at(self.trainer, self._batch)

    def on_test_start(self) -> None:
        trainer_limits.log_at(self.trainer, self._batch)

    def on_validation_epoch_end(self) -> None:
        monitors.check_logged(self.trainer, at_epoch_end=False)

    def on_train_epoch_end(self) -> None:
        monitors.check_logged(self.trainer, at_epoch_end=True)

    def on_train_epoch_start(self) -> None:
        self.sampler.eval()  # a draw's density is exact only without dropout

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        try:
            self._train_batch(batch)
        except Exception:  # an environment, say, that is given what is not finite: what became so first is the cause
            self.check_finite(here=True)
            raise

    def _train_batch(self, batch: Batch) -> None:
        demonstrations = self.at_level(batch.samples)
        acted = getattr(self.sampler, "environment_steps", self.environment_steps).clone()
        if self._batch < self.warm_start:
            self.descend("warm_start", lambda: self.likelihood_loss(demonstrations))
        else:
            if self.warm_start and self._batch == self.warm_start:  # without one, init_from may have brought its own
                self.cost.start_from(self.sampler)
            self.train_pair(demonstrations)
        self.environment_steps += getattr(self.sampler, "environment_steps", acted) - acted
        self._finish_batch()

    def train_pair(self, demonstrations: Samples) -> None:
        """What a batch after the warm start trains: the cost, and after ``cost_steps`` batches the sampler."""
        drawn, log_q = self.sampler.sample(self.draws(demonstrations))
        self.finite.watch_draws(drawn, self._batch)
        samples = self.at_level(drawn)
        if samples is not drawn and log_q is not None:
            log_q = self.log_density(samples)
        if self.cost_steps:
            self.descend_cost(demonstrations, samples, log_q)
        if ((self._batch - self.warm_start) // self.accumulate + 1) % max(self.cost_steps, 1) == 0:
            self.train_sampler(demonstrations, drawn)

    def descend_cost(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> None:
        """A step of the cost on its loss and its regularisers' terms; arguments as :meth:`cost_loss`."""

        def loss() -> Tensor:
            own = self.cost_loss(demonstrations, samples, log_q)
            terms = self.penalties(demonstrations, self.negatives(samples))
            for name, term in terms.items():
                self.record(f"loss/{name}", term)
            return sum(terms.values(), own)

        self.descend("cost", loss)

    def negatives(self, samples: Samples) -> Samples:
        """The samples whose cost the loss has just raised (M, *shape), given the sampler's draws, which they are unless
        a view says otherwise.
        """
        return samples

    def penalties(self, demonstrations: Samples, samples: Samples) -> dict[str, Tensor]:
        """The regularisers' terms by name, scalars, at demonstrations (N, *shape) and :meth:`negatives` (M, *shape)."""
        return {
            regulariser.name: regulariser(self.energy, demonstrations, samples) for regulariser in self._regularisers()
        }

    def train_sampler(self, demonstrations: Samples, drawn: Samples) -> None:
        """A round's descents of the sampler, given its own draws ``drawn``, whole."""
        if self.sampler_steps:
            for _ in range(self.sampler_steps * self.learner.begin(self.sampler, self.step_objective, drawn)):
                self.descend("sampler", lambda: self.sampler_loss(demonstrations))

    def descend(self, name: str, loss_of: Callable[[], Tensor]) -> None:
        """Descend a loss by the optimizer ``name`` (``cost``, ``sampler`` or ``warm_start``), the other module held
        constant.
        """
        with frozen(self._held[name]):
            loss = loss_of()
            self._leave_gradients_to_us()
            self.manual_backward(loss / self.accumulate)
        self.finite.watch(f"loss/{name}", loss, self._batch)
        self.record(f"loss/{name}", processes.average(loss) if self.is_logged else loss)
        if (self._phase_batch + 1) % self.accumulate == 0:
            optimizer = self._optimizer(name)
            self._descending = name
            processes.average_gradients([one for group in optimizer.param_groups for one in group["params"]])
            optimizer.step()
            optimizer.zero_grad()
            # not logged where it is found: in an epoch's first batch Lightning drops what another hook has logged
            # before
            self.record(f"gradient/{name}_norm", self._norm)

    def _leave_gradients_to_us(self) -> None:
        """Keep DistributedDataParallel, if it wraps this, from averaging in the backward pass.

        It would exchange both modules' gradients in each of their descents, look for the unused ones, and do so in
        every batch that accumulates.
        """
        wrapper = None if self._trainer is None else self._trainer.strategy.model
        if isinstance(wrapper, DistributedDataParallel):
            wrapper.require_backward_grad_sync = False  # Lightning sets it again after each batch

    def record(self, key: str, value: Tensor) -> None:
        """Log a scalar at the trainer's logging interval, without reading it back in between."""
        if self.is_logged:
            self.log(key, value.detach())
            if key.startswith("loss/"):
                self._shown[key] = value.detach()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Show the losses of a batch that was logged in the progress bar, from the host.

        Lightning reads what the bar shows after every batch, whether or not it is new, and would wait for the device
        each time.
        """
        if self._shown and self.trainer.progress_bar_callback is not None:
            values = torch.stack(list(self._shown.values())).cpu()
            for key, value in zip(self._shown, values, strict=True):
                self.log(key, value, prog_bar=True, logger=False)
        self._shown = {}

    @property
    def is_logged(self) -> bool:
        """Whether this batch's scalars are logged; not outside of training."""
        return self._trainer is not None and (self._batch + 1) % self.log_every == 0

    @property
    def log_every(self) -> int:
        """Batches between two logged values: the trainer's ``log_every_n_steps``."""
        every: int = getattr(self.trainer, "log_every_n_steps", 50)
        return max(every, 1)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        name = self._descending
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters])
        if self.clip_norm is not None:
            clip_grads_with_norm_(parameters, self.clip_norm, norm)
        self.finite.watch(f"gradient/{name}", norm, self._batch)
        self._norm = norm

    @property
    def _phase_batch(self) -> int:
        """Batches since the start, or since the end of the warm start."""
        return self._batch if self._batch < self.warm_start else self._batch - self.warm_start

    @property
    def _is_accumulating(self) -> bool:
        """Whether parameters hold gradients of batches that no step has used."""
        return self._phase_batch % self.accumulate != 0

    def on_validation_model_zero_grad(self) -> None:
        """Keep what is accumulated, which Lightning would drop at each validation."""
        if not self._is_accumulating:
            super().on_validation_model_zero_grad()

    def configure_optimizers(self) -> Any:
        sampler = trainable(self.sampler) + trainable(self.learner)
        cost = trainable(self.cost)
        self._held = {"cost": sampler, "sampler": cost, "warm_start": cost}
        made = {}
        if self.cost_steps:
            made["cost"] = self.configure_cost_optimizer(), self.cost_scheduler
        if sampler and self.sampler_steps:
            made["sampler"] = (self.sampler_optimizer(sampler), self.sampler_scheduler)
        if sampler and self.warm_start:
            optimizer_of = self.warm_start_optimizer or self.sampler_optimizer
            made["warm_start"] = (optimizer_of(sampler), self.warm_start_scheduler)
        self._names = list(made)
        self._scheduled = [name for name, (_, scheduler) in made.items() if scheduler]
        schedulers = []
        for name, (optimizer, factory) in made.items():
            scheduler = factory(optimizer) if factory else None
            batches = trainer_limits.batches_of(name, self._trainer, self.warm_start)
            trainer_limits.check_descent(name, optimizer, scheduler, batches)
            schedulers += [scheduler] if scheduler else []
        return [optimizer for optimizer, _ in made.values()], schedulers

    def configure_cost_optimizer(self) -> Optimizer:
        """The optimizer of the cost and of whatever else descends the cost's loss."""
        return self.cost_optimizer(trainable(self.cost))

    def _optimizer(self, name: str) -> Any:
        optimizers = self.optimizers()
        return (optimizers if isinstance(optimizers, list) else [optimizers])[self._names.index(name)]

    def _finish_batch(self) -> None:
        schedulers = self.lr_schedulers() or []
        is_warming = self._batch < self.warm_start
        for name, scheduler in zip(
            self._scheduled, schedulers if isinstance(schedulers, list) else [schedulers], strict=True
        ):
            if (name == "warm_start") == is_warming:
                scheduler.step()  # type: ignore[call-arg]
        # at a level, the constant of the discriminator is not the trajectories' log Z
        self.record(f"partition/log_z_{self.level_name}training", self.log_z)
        if self.event["kind"] == "trajectory" and self.is_logged:
            self.record("environment_steps", processes.total(self.environment_steps).float())
        self._batch += 1
        if self._batch % CHECK_EVERY == 0:
            self.finite.check(self._saved)
            for line in self.standstills():
                rank_zero_warn(line)  # once a run, by Python's own filter: the line says since when, not how long

    def on_train_end(self) -> None:
        self.check_finite()

    def on_fit_end(self) -> None:
        checkpoints.say_what_is_missing(self.trainer, self)
        self._hands_back = launched.is_launched(self.trainer)
        if self._hands_back:
            launched.say_what_comes_back(self.trainer)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights; after a fit in a process that Lightning started with the counters, for :meth:`load_state_dict`
        in the one that asked.
        """
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {**state, launched.COUNTERS: launched.counters(self)} if self._hands_back else state

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take weights, and counters where :meth:`state_dict` gave them."""
        counted = state_dict.get(launched.COUNTERS)
        if counted is not None:
            self._batch, self.evaluated_at = counted["batches"], counted["evaluated_at"]
            self.environment_steps.fill_(counted["environment_steps"])
            state_dict = {key: value for key, value in state_dict.items() if key != launched.COUNTERS}
        return super().load_state_dict(state_dict, *args, **kwargs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()  # what is saved is finite, or nothing is saved
        checkpoint["batches"] = self.saved_at = self._batch
        if self._trainer is not None:
            checkpoints.mark_place_in_epoch(self.trainer, checkpoint)
        checkpoint["environment_steps"] = processes.total(self.environment_steps)
        checkpoint["processes"] = processes.gather_objects(self.process_state())
        checkpoint[factories.KEY] = self._factories

    def process_state(self) -> dict[str, Any]:
        """What this process alone knows and a run that continues needs, as plain data: a checkpoint keeps every
        process's.
        """
        state: dict[str, Any] = {"random": processes.random_state(self.device)}
        if self._is_accumulating:
            gradients = {name: parameter.grad for name, parameter in self.named_parameters()}
            state["gradients"] = {name: gradient for name, gradient in gradients.items() if gradient is not None}
        return state

    def restore_process(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`process_state` gave."""
        self._random_state, self._gradients = state["random"], state.get("gradients", {})

    def check_finite(self, here: bool = False) -> None:
        """Look at the record of losses and gradients, of this process alone or of all, and at the parameters.

        Raises:
            NonFiniteError: naming the first batch and term, or the parameter.
        """
        self.finite.check(self._saved, here)
        for name, parameter in self.named_parameters():
            if name != "log_z" and not bool(torch.isfinite(parameter).all()):
                raise NonFiniteError(
                    f"{name} is not finite after batch {self._batch - 1}, though every gradient was; nothing is saved "
                    "from "
                    f"here on. {self._saved()}Lower the learning rate"
                )

    def _saved(self) -> str:
        path = None if self._trainer is None else checkpoints.newest(self.trainer)
        return "" if path is None else f"The last checkpoint before it is good: {path}. "

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._batch = self.saved_at = checkpoint.get("batches", 0)
        if not self._is_configured:
            factories.say_missing(checkpoint.get(factories.KEY, {}), self._factories)
        if processes.process_index() == 0:
            self.environment_steps.copy_(checkpoint.get("environment_steps", 0))
        states = checkpoint.get("processes", [])
        if len(states) == processes.num_processes():
            self.restore_process(states[processes.process_index()])
        elif self._trainer is not None and self._trainer.state.fn == "fit":
            rank_zero_warn(
                f"the checkpoint is of {len(states)} processes, {processes.num_processes()} continue it: weights, "
                "optimizers and log_z "
                "go on, random numbers and what each process kept for itself (chains, earlier rounds) start anew"
            )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def held_out(self, batch: Batch) -> dict[str, Tensor]:
        """What is averaged over held-out demonstrations, each (B,), in nats: c/T, the log-determinant, and -log q where
        it exists.
        """
        found = {"cost": self.energy(batch.samples), "log_det": batch.log_det}
        if self.scores_demonstrations:
            found["nll_sampler"] = -self.sampler.log_prob(batch.samples)
        return found

    def _evaluate(self, batch: Batch, stage: str) -> None:
        self.evaluated_at[stage] = self._batch
        with torch.no_grad():
            found = self.held_out(batch)
        for name, values in found.items():
            mean: Any = self.means[f"{stage}_{name}"]
            mean.update(values)
            self.log(f"{stage}/{name}", mean, on_step=False, on_epoch=True, batch_size=len(values))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Samples]:
        """Samples, and their cost over temperature (B,); where there is a density, log q (B,), and where there is a
        model the logit of the discriminator that it makes.

        The logit is that of whole samples (B,), or of each trajectory's segments (B, K) where the view trains on these.
        """
        with torch.no_grad():
            scores: dict[str, Samples] = {"samples": batch.samples, "cost": self.energy(batch.samples)}
            if self.scores_demonstrations:
                scores["log_q"] = self.sampler.log_prob(batch.samples)
            if self.has_model and self.scores_demonstrations:
                parts = self.at_level(batch.samples)
                logits = objectives.discriminator_logits(self.energy(parts), self.log_density(parts), self.log_z)
                scores["logit"] = logits if self.segment_length is None else logits.view(count(batch.samples), -1)
        return scores
