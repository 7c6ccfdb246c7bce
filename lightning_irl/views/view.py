"""A view: one cost and one sampler, a loss for each, and the rounds that train them in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_irl.costs.base import Cost
from lightning_irl.costs.energy import Energy
from lightning_irl.learners import Learner, Reparameterised
from lightning_irl.limits import above, at_least
from lightning_irl.pair import Pair, segment_length
from lightning_irl.processes import share, total
from lightning_irl.regularisers import Regulariser
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, validate_event, without_guesses
from lightning_irl.spaces.samples import Samples, count
from lightning_irl.spaces.space import space_of
from lightning_irl.views import before_training, evaluation, origins
from lightning_irl.views.checks import with_new_names
from lightning_irl.views.descent import default_optimizer
from lightning_irl.views.evaluation import EVALUATED
from lightning_irl.views.health import CHECK_EVERY
from lightning_irl.views.hooks import Hooks
from lightning_irl.views.losses import CostLoss, Given, SamplerLoss, likelihood_loss
from lightning_irl.views.modules import evaluating, frozen, trainable
from lightning_irl.views.options import refuse_contradictions
from lightning_irl.views.origins import read_checkpoint
from lightning_irl.views.rounds import EachBatch, Rounds
from lightning_irl.views.sampler_losses import ReverseKL

# beside View, what code and configs of earlier versions import from here
__all__ = [
    "CHECK_EVERY",
    "EVALUATED",
    "View",
    "default_optimizer",
    "evaluating",
    "frozen",
    "read_checkpoint",
    "trainable",
]


class View(Hooks):
    """Trains one cost and one sampler, by a loss for each and a kind of round.

    :class:`~lightning_irl.views.GAN`, :class:`~lightning_irl.views.EBM` and :class:`~lightning_irl.views.IRL` choose
    these three by name. For a loss of your own, name a class in ``cost_loss`` or ``sampler_loss``, or override the
    method in a subclass.

    Args:
        event: description of one sample; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        cost_loss: factory of the cost's loss, called with the event.
        sampler_loss: factory of the sampler's loss, called with the event.
        rounds: when draws are made, and which of them each step of the cost sees.
        learner: factory of the sampler's learner (how it descends), called with the event.
        regularisers: factories of terms added to the cost's loss, each called with the event; with any of them the
            objective is no longer the paper's.
        temperature: T; the model is exp(-c/T)/Z and the sampler minimises E_q[c] + T E_q[log q].
        entropy_weight: weight of E_q[log q] relative to the paper's; anything but 1 is no longer the paper's objective.
        likelihood_weight: weight of -E_p[log q] added to the sampler's loss (Flow-GAN's hybrid, Grover et al. 2018,
            arXiv 1705.08868); anything but 0 is no longer the paper's objective.
        level: what counts as one sample of trajectory data: the whole ``trajectory``, each ``transition``, or segments
            of the given number of steps.
        num_samples: draws of the sampler in each step, over all processes, counted in whole trajectories at every
            level; by default as many as demonstrations.
        compile: compile the cost with ``torch.compile``.
        **options: of :class:`~lightning_irl.views.loop.Loop`: rounds, warm start, optimizers, schedules.

    Attributes:
        cost: the cost c.
        sampler: the sampler q.
        pair: both of them, at this temperature and level: energy, log q, ratio, draws.
        log_z: this view's log of the partition function, a scalar; NaN before the first batch and if there is none.
        raised: the samples (M, *shape) whose cost was raised last: draws, or ends of chains; None before training.
        states_alone: whether the demonstrations hold no actions.

    Raises:
        ValueError: if parts do not fit together, or an option is not allowed or contradicts another.
    """

    cost_objective: CostLoss
    sampler_objective: SamplerLoss
    rounds: Rounds

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        cost_loss: Callable[[Event], CostLoss],
        sampler_loss: Callable[[Event], SamplerLoss] = ReverseKL,
        rounds: Rounds | None = None,
        learner: Callable[[Event], Learner] = Reparameterised,
        regularisers: Sequence[Callable[[Event], Regulariser]] = (),
        temperature: float = 1.0,
        entropy_weight: float = 1.0,
        likelihood_weight: float = 0.0,
        level: Literal["trajectory", "transition"] | int = "trajectory",
        num_samples: int | None = None,
        compile: bool = False,
        **options: Any,
    ) -> None:
        validate_event(event)
        super().__init__(**options)
        above(0, temperature=temperature)
        if not likelihood_weight >= 0:
            raise ValueError(f"likelihood_weight is {likelihood_weight}; it must not be negative")
        at_least(1, num_samples=num_samples)
        self.cost, self.sampler = cost(event), sampler(event)
        if (known := self.sampler.event) is not event:  # the environment filled in what the event left open
            self.cost = self.cost if known == without_guesses(event) else cost(known)
            event = self.hparams["event"] = known
        self.learner = learner(event)
        self.cost.start_from(self.sampler)
        self.regularisers = nn.ModuleList(regulariser(event) for regulariser in regularisers)
        self.event, self.temperature, self.entropy_weight = event, temperature, entropy_weight
        self.likelihood_weight, self.num_samples = likelihood_weight, num_samples
        self.segment_length = segment_length(event, level)
        self.cost_objective, self.sampler_objective = cost_loss(event), sampler_loss(event)
        self.sampler_objective.entropy_weight = entropy_weight
        self.rounds = EachBatch() if rounds is None else rounds
        log_z = torch.tensor(torch.nan)
        if self.cost_objective.learns_log_z:
            self.log_z = nn.Parameter(log_z)
        else:
            self.register_buffer("log_z", log_z)
        self.means = evaluation.make_means()
        self.states_alone = False
        self.raised: Samples | None = None
        for term, advice in self.cost_objective.advice.items():
            self.health.add(term, advice)
        before_training.check_parts(self, is_compiled=compile)
        refuse_contradictions(self, {**self.hparams, **self.described})
        if compile:
            self.cost.compile()

    def init_from(self, path: str) -> None:
        """Continue another view's pair: load ``cost``, ``sampler`` and ``log_z`` from any view's checkpoint.

        Raises:
            ValueError: if the file is not a checkpoint, or its pair has another architecture.
        """
        origins.take_pair(self, path)

    def cost_from(self, path: str) -> None:
        """Load only ``cost`` from another view's checkpoint, for a fresh sampler, perhaps in another environment.

        If that cost is shaped and this one is not, only its g is loaded (Fu et al. 2018).

        Raises:
            ValueError: if the file is not a checkpoint, or its cost has another architecture.
        """
        origins.take_cost(self.cost, path)

    # ---- the pair

    @property
    def pair(self) -> Pair:
        """Cost and sampler at this view's temperature and level; with kept rounds, log q is of the pooled draws."""
        fusion = self.rounds.fusion
        reshape = None if fusion is None else fusion.log_density
        start = None if self.sampler_steps else self.cost.reference
        return Pair(self.cost, self.sampler, self.temperature, self.segment_length, self.has_model, start, reshape)

    @property
    def has_model(self) -> bool:
        """Whether exp(-c/T)/Z is a model: the pair trains, and the sampler has a density to score it."""
        trains_pair = bool(self.cost_steps or self.sampler_steps)
        return self.sampler.has_density and self.cost_objective.has_model and trains_pair

    @property
    def energy(self) -> Energy:
        """c/T, a function of samples (B, *shape) to (B,), in nats."""
        return Energy(self.cost, self.temperature)

    @property
    def scores_demonstrations(self) -> bool:
        """Whether log q of demonstrations exists: the sampler has a density, and they are not states alone."""
        return self.sampler.has_density and not self.states_alone

    @property
    def known_sampler(self) -> Sampler:
        """The sampler that estimates of log Z start from (:class:`~lightning_irl.pair.Pair`)."""
        return self.pair.known_sampler

    def departures(self) -> list[str]:
        """Departures of this view from the paper's objective, a line each; empty if there are none."""
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
            found.append("cost_steps is 0: the cost is fixed, and the sampler learns to minimise it")
        elif not self.sampler_steps:
            found.append("sampler_steps is 0: the sampler is fixed" + self.cost_objective.fixed_sampler)
        found += [one.departure() for one in self.regularisers if isinstance(one, Regulariser)]
        found += self.learner.departures()
        return found + self.cost_objective.departures() + self.sampler_objective.departures()

    # ---- the two losses

    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        """Loss of the cost.

        Args:
            demonstrations: (N, *shape).
            samples: draws of the sampler (M, *shape), constant.
            log_q: their log q (M,), constant; None without a density.

        Returns:
            A scalar in nats.
        """
        given = Given(demonstrations, samples, log_q, self.log_z, self.draws(demonstrations), self.wants_log_z)
        found = self.cost_objective(self.pair, given)
        self.raised = found.negatives
        if found.log_z is not None:
            with torch.no_grad():
                self.log_z.copy_(found.log_z)
        for term, (value, bound) in found.watched.items():
            self.health.watch(term, value, self.batches, bound)
        for key, value in found.scalars.items():
            self.record(key, value)
        return found.loss

    def sampler_loss(self, demonstrations: Samples) -> Tensor:
        """Loss of the sampler, over its own draws.

        Args:
            demonstrations: (N, *shape); they give the number of draws, and the likelihood term if it has a weight.

        Returns:
            A scalar in nats.
        """
        raised = demonstrations if self.raised is None else self.raised
        given = Given(demonstrations, raised, None, self.log_z, self.draws(demonstrations))
        loss = self.sampler_objective(self.pair, self.learner, given)
        if self.likelihood_weight:
            loss = loss + self.likelihood_weight * likelihood_loss(self.pair, demonstrations)
        return loss

    def step_objective(self, samples: Samples, log_q: Tensor | None) -> Tensor:
        """The sampler's objective for each sample or step (B,), up to a constant."""
        values: Tensor = self.sampler_objective.step_objective(self.pair, self.log_z.detach())(samples, log_q)
        return values

    def penalties(self, demonstrations: Samples, samples: Samples) -> dict[str, Tensor]:
        """The regularisers' terms by name, scalars.

        Args:
            demonstrations: (N, *shape).
            samples: the samples whose cost was raised (M, *shape).
        """
        return {
            regulariser.name: regulariser(self.energy, demonstrations, samples)
            for regulariser in self.regularisers
            if isinstance(regulariser, Regulariser)
        }

    # ---- training

    def setup(self, stage: str) -> None:
        before_training.prepare(self, stage)

    def on_train_epoch_start(self) -> None:
        self.sampler.eval()  # a draw's density is exact only without dropout

    def train_batch(self, batch: Batch) -> None:
        demonstrations = self.pair.at_level(batch.samples)
        acted = getattr(self.sampler, "environment_steps", self.environment_steps).clone()
        if self.batches < self.warm_start:
            self.descend("warm_start", lambda: likelihood_loss(self.pair, demonstrations))
        else:
            if self.warm_start and self.batches == self.warm_start:  # else init_from may have loaded it
                self.cost.start_from(self.sampler)
            self.train_pair(demonstrations)
        self.environment_steps += getattr(self.sampler, "environment_steps", acted) - acted

    def train_pair(self, demonstrations: Samples) -> None:
        """Train on a batch after the warm start: a round, or part of one."""
        self.rounds.train(self, demonstrations)

    def descend_cost(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> None:
        """Take a step of the cost on its loss and the regularisers' terms; arguments as for :meth:`cost_loss`."""

        def loss() -> Tensor:
            self.raised = samples  # unless cost_loss sets it
            own = self.cost_loss(demonstrations, samples, log_q)
            terms = self.penalties(demonstrations, self.raised)
            for name, term in terms.items():
                self.record(f"loss/{name}", term)
            return sum(terms.values(), own)

        self.descend("cost", loss)

    def train_sampler(self, demonstrations: Samples, drawn: Samples) -> None:
        """Take a round's steps of the sampler, given its own uncut draws ``drawn``."""
        if self.sampler_steps:
            for _ in range(self.sampler_steps * self.learner.begin(self.sampler, self.step_objective, drawn)):
                self.descend("sampler", lambda: self.sampler_loss(demonstrations))

    def draws(self, demonstrations: Samples) -> int:
        """Number of draws that this process makes for a batch of demonstrations at this view's level."""
        pieces = self.event["horizon"] // self.segment_length if self.segment_length else 1
        return share(self.num_samples) if self.num_samples else count(demonstrations) // pieces

    @property
    def wants_log_z(self) -> bool:
        """Whether log Z is needed even if the step does not use it: where it is logged, and in the first batch."""
        return self.is_logged or self.batches == self.warm_start

    def record_progress(self) -> None:
        # below trajectory level, the discriminator's constant is not the trajectories' log Z
        self.record(f"partition/log_z_{self.pair.level_name}training", self.log_z)
        if self.is_logged and space_of(self.event).has_steps:
            self.record("environment_steps", total(self.environment_steps).float())

    # ---- what is saved

    def process_state(self) -> dict[str, Any]:
        return super().process_state() | self.rounds.state() | self.cost_objective.state()

    def restore_process(self, state: dict[str, Any]) -> None:
        super().restore_process(state)
        self.rounds.restore(state, self.sampler)
        self.cost_objective.restore(state, self.device)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().load_state_dict(with_new_names(state_dict), *args, **kwargs)
