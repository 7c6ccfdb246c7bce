"""A policy in an environment: the sampler of trajectories."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import Self

from lightning_irl.environments.actions import agree
from lightning_irl.environments.base import Environment
from lightning_irl.policies.base import Policy
from lightning_irl.policies.uniform import UniformPolicy
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.space import TrajectorySpace, trajectory_space
from lightning_irl.spaces.trajectory import Trajectory, as_trajectory


class Rollout(NamedTuple):
    """Trajectories with what is known only while they are made.

    Attributes:
        trajectory: B episodes of T steps.
        log_q: log pi of each step (B, T); zero after the end.
        rewards: true rewards (B, T); zero after the end.
    """

    trajectory: Trajectory
    log_q: Tensor
    rewards: Tensor


class PolicySampler(Sampler):
    r"""q(tau) by rolling out a policy.

    Start and transition probabilities are the same in the model and cancel in every ratio, so log q(tau) means the sum
    over steps of :math:`\log \pi(a_t | s_t, t)` (Finn et al. 2016, section 2.3).

    Args:
        event: of the trajectories; properties of actions that it does not know are taken from the environment.
        environment: what the policy acts in.
        policy: factory of the policy, called with the event.

    Attributes:
        agreement: the event after comparison with the environment, and what was taken from the environment.
        environment_steps: taken so far in this process, for any purpose.

    Raises:
        ValueError: if environment and event do not fit.
    """

    space: TrajectorySpace
    environment_steps: Tensor

    def __init__(self, event: Event, environment: Environment, policy: Callable[[Event], Policy]) -> None:
        self.agreement = agree(environment, event)
        event = self.agreement.event
        super().__init__(event)
        self.space = trajectory_space(event, "PolicySampler draws trajectories, the data")
        self.environment, self.policy = environment, policy(event)
        self.horizon = self.space.horizon
        self.has_rsample = environment.is_differentiable and self.policy.has_rsample
        self.register_buffer("_like", torch.zeros(()), persistent=False)
        self.register_buffer("environment_steps", torch.zeros((), dtype=torch.long), persistent=False)

    def rollout(self, num: int, deterministic: bool = False, start: tuple[Any, Tensor] | None = None) -> Rollout:
        """Run episodes without gradient.

        Args:
            num: episodes.
            deterministic: take the policy's mode.
            start: states and observations of the environment to start from, as of its ``reset``; by default a reset.
        """
        with torch.no_grad():
            return self._roll(num, self._mode if deterministic else self.policy.sample, start)

    def _mode(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        action = self.policy.mode(observation, time)
        return action, self.policy.log_prob(observation, action, time)

    def _roll(
        self,
        num: int,
        act: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        start: tuple[Any, Tensor] | None = None,
    ) -> Rollout:
        like: Tensor = self._like  # type: ignore[assignment]
        state, observation = start or self.environment.reset(num, dtype=like.dtype, device=like.device)
        alive = torch.ones(num, dtype=torch.bool, device=like.device)
        times = torch.arange(self.horizon, device=like.device)
        observations, actions, masks, log_qs, rewards = [observation], [], [], [], []
        for time in times:
            action, log_q = act(observation, time.expand(num))
            state, following, reward, terminal = self.environment.step(state, action)
            if self.environment.absorbing:  # what happens after the end is not looked at
                shape = (num, *[1] * (following.ndim - 1))
                following = torch.where(alive.view(shape), following, observation)
                log_q, reward = torch.where(alive, log_q, 0.0), torch.where(alive, reward, 0.0)
            masks.append(alive)
            observation = following
            observations.append(observation)
            actions.append(action)
            log_qs.append(log_q)
            rewards.append(reward)
            if self.environment.absorbing:
                alive = alive & ~terminal
        trajectory = Trajectory(
            torch.stack(observations, 1),
            torch.stack(actions, 1),
            torch.stack(masks, 1),
            ~alive,
            torch.zeros(num, dtype=torch.long, device=like.device),
        )
        self.environment_steps += trajectory.mask.sum()
        return Rollout(trajectory, torch.stack(log_qs, 1), torch.stack(rewards, 1))

    def snapshot(self) -> Self:
        """A copy of the policy as it is now, held constant, in the same environment."""
        environment = self.environment
        return copy.deepcopy(self, {id(environment): environment}).requires_grad_(False).eval()

    def at_random(self) -> Self | None:
        """This sampler with uniformly random actions; None where actions have no bounds."""
        if not self.space.actions.has_uniform:
            return None
        other = copy.copy(self)
        policy = UniformPolicy(self.event).to(self._like)  # type: ignore[arg-type]
        other._modules = {**self._modules, "policy": policy}
        return other

    def sample(self, num_samples: int) -> tuple[Trajectory, Tensor]:
        rollout = self.rollout(num_samples)
        return rollout.trajectory, rollout.log_q.sum(1)

    def rsample(self, num_samples: int) -> tuple[Trajectory, Tensor]:
        if not self.has_rsample:
            super().rsample(num_samples)  # raises
        rollout = self._roll(num_samples, self.policy.rsample)
        return rollout.trajectory, rollout.log_q.sum(1)

    def step_log_prob(self, trajectory: Trajectory) -> Tensor:
        """log pi of each step of trajectories or segments (B, T); zero where no action was chosen."""
        log_pi = self.policy.log_prob(trajectory.observations[:, :-1], trajectory.actions, trajectory.time)
        return torch.where(trajectory.mask, log_pi, 0.0)

    def log_prob(self, samples: Samples) -> Tensor:
        """log q of trajectories or segments (B,), given the states in them."""
        return self.step_log_prob(as_trajectory(samples, "PolicySampler scores")).sum(1)


def as_policy_sampler(sampler: object, user: str, instead: str = "") -> PolicySampler:
    """The sampler, which must be a policy.

    Args:
        sampler: of any kind.
        user: what needs a policy, with its verb, for the message: ``PPO trains``.
        instead: what to do about it, for the message.

    Raises:
        ValueError: naming the user, the sampler and what to do.
    """
    if not isinstance(sampler, PolicySampler):
        advice = f"; {instead}" if instead else ""
        raise ValueError(f"{user} a PolicySampler, not {type(sampler).__name__}{advice}")
    return sampler
