"""The optimal policy for a cost in a tabular world, by soft value iteration."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.dynamic_programming.tabular import causal_backup
from lightning_irl.environments.tabular import TabularMDP
from lightning_irl.learners.base import Objective
from lightning_irl.learners.solved import LEAST_LOG_PI, SolvedLearner
from lightning_irl.policies.tabular import TabularPolicy
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.policy import PolicySampler
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.trajectory import Trajectory


class SoftValueIteration(SolvedLearner):
    r"""Sets the policy to its optimum for the present cost by the causal backup of the known world: no draws, no step
    size.

    .. math:: \min_\pi E_q[c/T] + E_q[\log q], \qquad
        \pi_t(a | s) = \exp(Q_t(s, a) - V_t(s)), \quad Q_t(s, a) = E_{s' | s, a}[-c_t(s, a, s') / T + V_{t+1}(s')]

    The cost of a step and the weight of its log pi are found from the objective for every state, action, next state and
    time, so any cost works, with any positive entropy weight. The policy is soft-optimal for the true world; it cannot
    equal p_theta unless start and next states are deterministic (see
    :mod:`~lightning_irl.dynamic_programming.tabular`).

    Source: Ziebart 2010, Modeling purposeful adaptive behavior with the principle of maximum causal entropy (PhD
    thesis, Carnegie Mellon), chapter 9.
    """

    def check(self, sampler: Sampler) -> None:
        self._world_and_policy(sampler)

    @staticmethod
    def _world_and_policy(sampler: Sampler) -> tuple[TabularMDP, TabularPolicy]:
        if not isinstance(sampler, PolicySampler) or not isinstance(sampler.environment, TabularMDP):
            name = type(sampler).__name__
            place = f" in {type(sampler.environment).__name__}" if isinstance(sampler, PolicySampler) else ""
            raise ValueError(
                "SoftValueIteration needs a PolicySampler in a TabularMDP, whose probabilities are known, not "
                f"{name}{place}; "
                "set learner to PPO, ScoreFunction or Reparameterised"
            )
        if not isinstance(sampler.policy, TabularPolicy) or not sampler.policy.sees_time:
            sees_time = " with sees_time=false" if isinstance(sampler.policy, TabularPolicy) else ""
            raise ValueError(
                "SoftValueIteration gives every state, action and step its own probability, which needs a "
                "TabularPolicy with "
                f"sees_time=true, not {type(sampler.policy).__name__}{sees_time}"
            )
        return sampler.environment, sampler.policy

    @torch.no_grad()
    def begin(self, sampler: Sampler, objective: Objective, samples: Samples) -> int:
        """Solve for the policy; arguments as of :class:`~lightning_irl.learners.base.Learner`, the draws are not used.

        Raises:
            ValueError: if the objective is not a cost plus a positive multiple of log pi.
        """
        world, policy = self._world_and_policy(sampler)
        horizon = self.event["horizon"]
        costs, weight = self.step_costs(world, objective, horizon, policy.logits.dtype)
        policy.logits.copy_(causal_backup(world, costs / weight, horizon).log_policy)
        return 0

    def step_costs(
        self, world: TabularMDP, objective: Objective, horizon: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The cost of each step under an objective, averaged over next states (T, S, A), and the objective's weight on
        log pi, a scalar; float64.
        """
        state, action, reached = world.possible.unbind(1)
        observations = torch.stack([world.observe(state, dtype), world.observe(reached, dtype)], 1)
        probability = world.transitions[state, action, reached]
        cell, chosen = state * world.num_actions + action, torch.ones_like(action[:, None], dtype=torch.bool)
        log_pi = torch.linspace(LEAST_LOG_PI, 0, len(state), dtype=dtype, device=state.device).requires_grad_()
        costs = probability.new_zeros(horizon, world.num_states * world.num_actions)
        for time, row in enumerate(costs):
            steps = Trajectory(observations, action[:, None], chosen, ~chosen[:, 0], torch.full_like(state, time))
            with torch.enable_grad():
                values = objective(steps, log_pi)
                (slope,) = torch.autograd.grad(values.sum(), log_pi, materialize_grads=True, allow_unused=True)
            row.index_add_(0, cell, probability * (values - slope * log_pi).to(probability))
        self.check_slope(slope)
        return costs.view(horizon, world.num_states, world.num_actions), slope.to(probability).mean()
