"""The optimal policy for a quadratic cost in a linear world, by a Riccati recursion."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.dynamic_programming.riccati import QuadraticSteps, soft_riccati
from lightning_irl.environments.linear_quadratic import LinearQuadratic
from lightning_irl.learners.base import Objective
from lightning_irl.learners.solved import LEAST_LOG_PI, SolvedLearner
from lightning_irl.policies.linear_gaussian import TimeVaryingLinearGaussianPolicy
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.policy import PolicySampler
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.trajectory import Trajectory

PROBES = 4  # points at which a quadratic must be what was found
BENT = 1e-3  # largest distance of its gradient there, as a share of the gradient


class SoftRiccati(SolvedLearner):
    r"""Sets the policy to its optimum for the present cost by the causal Riccati recursion of the known world: no
    draws, no step size.

    .. math:: \min_\pi E_q[c/T] + E_q[\log q], \qquad \pi_t(a | s) = N(K_t s + k_t, \Sigma_t)

    The cost of each step is found from gradients of the objective, so any cost that is quadratic in state, action and
    next state works (of the next state the mean is enough, as noise adds a constant), with any positive entropy weight.
    The policy is soft-optimal for the true world (see :mod:`~lightning_irl.dynamic_programming.riccati`).

    Source: Levine and Abbeel 2014, Learning neural network policies with guided policy search under unknown dynamics
    (NeurIPS), section 3: the maximum-entropy linear-quadratic regulator.
    """

    _is_quadratic = False

    def check(self, sampler: Sampler) -> None:
        self._world_and_policy(sampler)

    @staticmethod
    def _world_and_policy(sampler: Sampler) -> tuple[LinearQuadratic, TimeVaryingLinearGaussianPolicy]:
        if not isinstance(sampler, PolicySampler) or not isinstance(sampler.environment, LinearQuadratic):
            name = type(sampler).__name__
            place = f" in {type(sampler.environment).__name__}" if isinstance(sampler, PolicySampler) else ""
            raise ValueError(
                f"SoftRiccati needs a PolicySampler in LinearQuadratic, whose dynamics are known, not {name}{place}; "
                "set learner to PPO, ScoreFunction or Reparameterised"
            )
        if not isinstance(sampler.policy, TimeVaryingLinearGaussianPolicy):
            raise ValueError(
                "SoftRiccati gives every step its own gain, which needs a TimeVaryingLinearGaussianPolicy, not "
                f"{type(sampler.policy).__name__}"
            )
        return sampler.environment, sampler.policy

    @torch.no_grad()
    def begin(self, sampler: Sampler, objective: Objective, samples: Samples) -> int:
        """Solve for the policy; arguments as of :class:`~lightning_irl.learners.base.Learner`, the draws are not used.

        Raises:
            ValueError: if the objective is not a quadratic cost plus a positive multiple of log pi, or has no optimum.
        """
        world, policy = self._world_and_policy(sampler)
        steps, weight = self.quadratic_steps(world, objective, self.event["horizon"], policy.gains.dtype)
        _, best = soft_riccati(world, QuadraticSteps(*(part / weight for part in steps)))
        policy.assign(*best)
        return 0

    def quadratic_steps(
        self, world: LinearQuadratic, objective: Objective, horizon: int, dtype: torch.dtype
    ) -> tuple[QuadraticSteps, Tensor]:
        """The cost of each step under an objective, and the objective's weight on log pi, a scalar; float64."""
        device, size, actions = world.state_matrix.device, world.observation_shape[0], world.action_shape[0]
        probes = torch.linspace(-1, 1, PROBES * (size + actions), dtype=dtype, device=device).view(PROBES, -1)
        points = torch.cat([torch.zeros(1, size + actions).to(probes), torch.eye(size + actions).to(probes), probes])
        z = points.repeat(horizon, 1).requires_grad_()
        time = torch.arange(horizon, device=device).repeat_interleave(len(points))
        chosen = torch.ones_like(time[:, None], dtype=torch.bool)
        log_pi = torch.linspace(LEAST_LOG_PI, 0, len(z), dtype=dtype, device=device).requires_grad_()
        with torch.enable_grad():
            both = torch.cat([world.state_matrix, world.action_matrix], 1).to(z)
            observations = torch.stack([z[:, :size], z @ both.mT], 1)
            values = objective(Trajectory(observations, z[:, None, size:], chosen, ~chosen[:, 0], time), log_pi)
            slope, weight = torch.autograd.grad(values.sum(), (z, log_pi), materialize_grads=True, allow_unused=True)
        self.check_slope(weight)
        slopes = slope.double().view(horizon, len(points), -1)
        base, unit = slopes[:, 0], slopes[:, 1 : 1 + size + actions]
        hessian = unit - base[:, None]
        hessian = (hessian + hessian.mT) / 2
        self._check_quadratic(base[:, None] + probes.double() @ hessian, slopes[:, 1 + size + actions :])
        constant = (values - weight * log_pi).double().view(horizon, -1)[:, 0]
        return QuadraticSteps(hessian, base, constant), weight.double().mean()

    def _check_quadratic(self, expected: Tensor, found: Tensor) -> None:
        """Refuse a cost that is not quadratic; checked once."""
        if self._is_quadratic:
            return
        scale = found.abs().max().clamp(min=1e-12)
        distance = float((expected - found).abs().max() / scale)
        if not distance <= BENT:
            raise ValueError(
                "SoftRiccati solves for costs that are quadratic in state and action; the gradient of this one is "
                "off a quadratic's by "
                f"{distance:.1%}: use QuadraticStepCost with hidden: [] and log_weight: 0, or set learner to PPO"
            )
        self._is_quadratic = True
