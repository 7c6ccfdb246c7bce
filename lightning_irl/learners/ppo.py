"""Proximal policy optimisation of a policy's cost and entropy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_irl.learners.base import Learner, Objective
from lightning_irl.networks import mlp
from lightning_irl.processes import counts_later, gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.policy import as_policy_sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, select
from lightning_irl.spaces.space import trajectory_space
from lightning_irl.spaces.trajectory import Trajectory, as_trajectory, cut


class PPO(Learner):
    r"""Schulman et al. (2017, arXiv 1707.06347) with generalised advantages (Schulman et al. 2016, arXiv 1506.02438).

    The reward of a step is minus the objective, :math:`-c/T - \log \pi`, so that the entropy term is the objective's
    own and not a bonus beside it. Undiscounted by default; the critic sees the time left and nothing is bootstrapped at
    the horizon. The value of an absorbed state is known: the cost of absorption times the time left. The critic learns
    the value of other states relative to it. Advantages are divided by their standard deviation where that is above one
    nat. Below, they are left as they are: an advantage in nats is the change that log pi should make, so noise is not
    blown up where the objective prefers no action.

    Args:
        event: of the trajectories.
        hidden: sizes of the critic's hidden layers.
        activation: between them.
        passes: over the round's steps.
        minibatches: in a pass, each a descent.
        clip: of the ratio of new to old probability.
        decay: lambda of the generalised advantage.
        discount: of later costs; below 1 it is no longer the paper's objective.
        value_weight: of the critic's squared error, in units of the returns' variance, in the loss.
        statistics_decay: how much of the returns' running mean and variance a round keeps.
    """

    is_stepwise = True
    location: Tensor
    scale: Tensor
    return_mean: Tensor
    return_variance: Tensor
    absorbed_reward: Tensor
    rounds: Tensor

    def __init__(
        self,
        event: Event,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
        passes: int = 4,
        minibatches: int = 8,
        clip: float = 0.2,
        decay: float = 0.95,
        discount: float = 1.0,
        value_weight: float = 0.5,
        statistics_decay: float = 0.9,
    ) -> None:
        super().__init__(event)
        self.space = trajectory_space(event, "PPO trains a policy, but the data", "set learner to another")
        if min(passes, minibatches) < 1:
            raise ValueError(f"passes is {passes} and minibatches {minibatches}; both must be at least 1")
        if not (0 <= decay <= 1 and 0 < discount <= 1):
            raise ValueError(f"decay is {decay} and discount {discount}; they lie between 0 and 1")
        self.passes, self.minibatches, self.clip = passes, minibatches, clip
        self.descents = passes * minibatches
        self.decay, self.discount, self.value_weight = decay, discount, value_weight
        self.statistics_decay, self.horizon = statistics_decay, self.space.horizon
        self.critic = mlp([self.space.observation_size + 1, *hidden, 1], activation)
        self.register_buffer("location", self.space.observation_location)
        self.register_buffer("scale", self.space.observation_scale)
        self.register_buffer("return_mean", torch.zeros(()))
        self.register_buffer("return_variance", torch.ones(()))
        self.register_buffer("absorbed_reward", torch.zeros(()))
        self.register_buffer("rounds", torch.zeros((), dtype=torch.long))
        self._order: Tensor | None = None
        self._descent = 0
        self._sizes = [0]  # steps of the round in each process

    def check(self, sampler: Sampler) -> None:
        as_policy_sampler(sampler, "PPO trains", "set learner to Reparameterised or ScoreFunction")

    def departures(self) -> list[str]:
        return [] if self.discount == 1 else [f"discount is {self.discount}: later costs count less"]

    def value(self, observation: Tensor, time: Tensor) -> Tensor:
        """Expected return from states (..., *obs) at steps (...); (...), in nats."""
        features = (observation.flatten(time.ndim) - self.location) / self.scale
        left = 1 - time.to(features.dtype) / self.horizon
        standard = self.critic(torch.cat([features, 2 * left[..., None] - 1], -1)).squeeze(-1)
        value = standard * self.return_variance.sqrt() + self.return_mean
        return value + self.absorbed_value(time) if self.space.is_absorbing else value

    def absorbed_value(self, time: Tensor) -> Tensor:
        """Return in the absorbing state from steps (...) on; (...), in nats."""
        left = (self.horizon - time).to(self.absorbed_reward.dtype)
        if self.discount < 1:
            left = (1 - self.discount**left) / (1 - self.discount)
        return self.absorbed_reward * left

    @torch.no_grad()
    def begin(self, sampler: Sampler, objective: Objective, samples: Samples) -> int:
        samples = as_trajectory(samples, "PPO learns from")
        log_pi = as_policy_sampler(sampler, "PPO trains").step_log_prob(samples)
        steps = cut(samples, 1)
        rewards = -objective(steps, log_pi.flatten()).view_as(log_pi)
        if self.space.is_absorbing:
            self.absorbed_reward.copy_(-objective(an_absorbed(steps), log_pi.new_zeros(1)).squeeze(0))
        values = self.value(samples.observations[:, :-1], samples.time)
        if self.space.is_absorbing:
            values = torch.where(samples.absorbed, self.absorbed_value(samples.time), values)
        advantages = self.advantages(rewards, values)
        returns = advantages + values
        learned = returns - self.absorbed_value(samples.time) if self.space.is_absorbing else returns
        chosen = samples.mask.flatten().nonzero().squeeze(1) if self.space.is_absorbing else None
        fields = (
            samples.observations[:, :-1].flatten(0, 1),
            samples.actions.flatten(0, 1),
            samples.time.flatten(),
            log_pi.flatten(),
            advantages.flatten(),
            returns.flatten(),
            learned.flatten(),
        )
        *self._steps, learned = fields if chosen is None else tuple(field[chosen] for field in fields)
        counts = counts_later([len(learned)])
        every_learned, every = gather_each(learned, self._steps[4])
        self._update_statistics(every_learned)
        self._steps[4] = (self._steps[4] - every.mean()) / every.std().clamp(min=1)
        self._descent = 0
        self._sizes = [row[0] for row in counts()]
        return self.descents

    def _part(self, size: int, part: int) -> slice:
        """Where a minibatch is in an order of so many steps; none is empty, however few there are."""
        first, last = part * size // self.minibatches, (part + 1) * size // self.minibatches
        return slice(first, max(last, first + 1))

    def advantages(self, rewards: Tensor, values: Tensor) -> Tensor:
        """Generalised advantages (B, T) from rewards and values of the states acted in, both (B, T)."""
        following = torch.cat([values[:, 1:], values.new_zeros(len(values), 1)], 1)
        errors = (rewards + self.discount * following - values).T.contiguous()
        found, factor = torch.empty_like(errors), self.discount * self.decay
        found[-1] = errors[-1]
        for step in range(len(errors) - 2, -1, -1):
            torch.add(errors[step], found[step + 1], alpha=factor, out=found[step])
        return found.T

    def _update_statistics(self, returns: Tensor) -> None:
        """Take a round's returns (N,) of all processes into the running mean and variance."""
        keep = torch.where(self.rounds > 0, self.statistics_decay, 0.0)
        self.return_mean.lerp_(returns.mean(), 1 - keep)
        self.return_variance.lerp_(returns.var() + 1e-6, 1 - keep)
        self.rounds += 1

    def loss(self, sampler: Sampler, objective: Objective, num_samples: int) -> Tensor:
        policy = as_policy_sampler(sampler, "PPO trains").policy
        part = self._descent % self.minibatches
        size = len(self._steps[0])
        if part == 0:
            self._order = torch.randperm(size, device=self._steps[0].device)
        assert self._order is not None
        chosen = self._order[self._part(size, part)]
        observation, action, time, old_log_pi, advantage, target = (field[chosen] for field in self._steps)
        self._descent += 1
        ratio = (policy.log_prob(observation, action, time) - old_log_pi).exp()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        gain = torch.minimum(ratio * advantage, clipped * advantage)
        error = (self.value(observation, time) - target).square()
        # The mean over all processes is the average of these, whose sizes are known: a descent exchanges nothing but
        # the gradient.
        spans = [self._part(size, part) for size in self._sizes]
        total = sum(span.stop - span.start for span in spans)
        return (self.value_weight * error / self.return_variance - gain).sum() * (len(spans) / total)


def an_absorbed(steps: Trajectory) -> Trajectory:
    """A transition of the absorbing state, made from the first of transitions."""
    one = select(steps, torch.zeros_like(steps.start[:1]))
    return one._replace(mask=torch.zeros_like(one.mask), terminal=torch.ones_like(one.terminal))
