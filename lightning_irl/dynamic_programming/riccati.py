r"""Backups of linear-quadratic worlds: ``log_z`` by the risk-seeking Riccati recursion, ``soft_value`` by the causal
one.

The continuous twin of :mod:`~lightning_irl.dynamic_programming.tabular`: values are quadratic in the state, policies
linear and Gaussian. All of it is computed in float64, in nats, on the device of the world, with respect to the Lebesgue
measure of actions in their own units, and is differentiable in the costs. A temperature divides the costs beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.environments.linear_quadratic import LinearQuadratic


class QuadraticSteps(NamedTuple):
    r"""Step costs :math:`c_t(z) = \tfrac12 z^\top C_t z + c_t^\top z + k_t` of state and action, z = (s, a), over a
    temperature.

    Attributes:
        hessian: C (T, n + d, n + d), symmetric.
        slope: c (T, n + d).
        constant: k (T,).
    """

    hessian: Tensor
    slope: Tensor
    constant: Tensor


class Controller(NamedTuple):
    r"""The policy :math:`a \sim N(K_t s + k_t, \Sigma_t)`.

    Attributes:
        gains: K (T, d, n).
        offsets: k (T, d).
        covariances: Sigma (T, d, d).
    """

    gains: Tensor
    offsets: Tensor
    covariances: Tensor


class Quadratic(NamedTuple):
    r"""A value of states :math:`V(s) = -\tfrac12 s^\top P s - p^\top s - r`, in nats.

    Attributes:
        hessian: P (n, n).
        slope: p (n,).
        constant: r, a scalar.
    """

    hessian: Tensor
    slope: Tensor
    constant: Tensor

    def mean(self, location: Tensor, covariance: Tensor) -> Tensor:
        """E[V] under a Gaussian, a scalar."""
        return -(
            location @ self.hessian @ location / 2
            + (self.hessian * covariance).sum() / 2
            + self.slope @ location
            + self.constant
        )

    def log_mean_exp(self, location: Tensor, root: Tensor) -> Tensor:
        """log E[exp V] under a Gaussian of covariance ``root root^T``, a scalar.

        Raises:
            ValueError: if it is infinite.
        """
        seen = self.smoothed(root)
        return -(location @ seen.hessian @ location / 2 + seen.slope @ location + seen.constant)

    def smoothed(self, root: Tensor) -> Quadratic:
        r"""log E[exp V(m + w)] as a function of m, with w of covariance :math:`L L^\top`.

        Raises:
            ValueError: if it is infinite.
        """
        pulled = self.hessian @ root
        inner = torch.eye(root.shape[1]).to(root) + root.mT @ pulled
        factor = _cholesky(inner, "log_z is infinite: noise brings more than the cost takes")
        weighted = torch.cholesky_solve(torch.cat([pulled.mT, (root.mT @ self.slope)[:, None]], 1), factor)
        by_hessian, by_slope = weighted[:, :-1], weighted[:, -1]
        return Quadratic(
            self.hessian - pulled @ by_hessian,
            self.slope - pulled @ by_slope,
            self.constant + factor.diagonal().log().sum() - self.slope @ root @ by_slope / 2,
        )


def true_steps(world: LinearQuadratic, horizon: int, temperature: float = 1.0) -> QuadraticSteps:
    """Minus the true reward over a temperature, at every step."""
    hessian = torch.block_diag(world.state_cost, world.action_cost) / temperature
    return QuadraticSteps(
        hessian.expand(horizon, -1, -1), hessian.new_zeros(horizon, len(hessian)), hessian.new_zeros(horizon)
    )


def soft_riccati(world: LinearQuadratic, steps: QuadraticSteps) -> tuple[Quadratic, Controller]:
    r"""The causal backup: the policy that minimises E_q[c] + E_q[log q], and its value of the start.

    .. math:: -Q_t(s, a) = c_t(s, a) - E_{s'} V_{t+1}(s'), \qquad V_t(s) = \log \int e^{Q_t(s, a)}\, da

    Args:
        world: the dynamics.
        steps: costs over the temperature.

    Returns:
        V_0, and the policy.

    Raises:
        ValueError: if the integral over the actions of a step is infinite; naming the step.

    Source: Ziebart 2010, Modeling purposeful adaptive behavior with the principle of maximum causal entropy (PhD
        thesis, Carnegie
    Mellon), on linear-quadratic regulation.

    Example:
        >>> world = LinearQuadratic(state_matrix=[[1.0]], action_matrix=[[1.0]])
        >>> value, policy = soft_riccati(world, true_steps(world, horizon=2))
        >>> policy.gains[0], policy.covariances.flatten()
        (tensor([[-0.5000]], dtype=torch.float64), tensor([0.5000, 1.0000], dtype=torch.float64))
    """

    def ahead(value: Quadratic) -> Quadratic:
        return value._replace(constant=value.constant + (value.hessian * world.noise_covariance.double()).sum() / 2)

    return _backup(world, steps, ahead)


def risk_seeking_riccati(world: LinearQuadratic, steps: QuadraticSteps) -> tuple[Quadratic, Controller]:
    r"""The backup of exp(-c): what the partition function of trajectories needs.

    .. math:: -Q_t(s, a) = c_t(s, a) - \log E_{s'} e^{V_{t+1}(s')}, \qquad V_t(s) = \log \int e^{Q_t(s, a)}\, da

    The policy is p_theta(a | s, t), whose noise is luckier than the world's. Arguments, result and errors as of
    :func:`soft_riccati`; also infinite where a cost falls faster than noise is rare.

    Source: Whittle 1981, Risk-sensitive linear/quadratic/Gaussian control (Advances in Applied Probability 13), with
    his theta of the sign that seeks risk.
    """
    return _backup(world, steps, lambda value: value.smoothed(world.noise_root.double()))


def soft_value(world: LinearQuadratic, steps: QuadraticSteps) -> Tensor:
    """-min over policies of E_q[c] + E_q[log q], a scalar in nats; at most :func:`log_z`, and equal to it without
    noise.
    """
    value, _ = soft_riccati(world, steps)
    return value.mean(world.initial_mean, world.initial_covariance)


def log_z(world: LinearQuadratic, steps: QuadraticSteps) -> Tensor:
    """log of the integral over trajectories of p(world) exp(-c), a scalar in nats."""
    value, _ = risk_seeking_riccati(world, steps)
    return value.log_mean_exp(world.initial_mean, world.initial_root)


def attained_value(world: LinearQuadratic, steps: QuadraticSteps, policy: Controller) -> Tensor:
    """-E_q[c] - E_q[log q] of any controller, a scalar in nats; at most :func:`soft_value`."""
    mean, covariance = world.initial_mean, world.initial_covariance
    total = mean.new_zeros(())
    for hessian, slope, constant, gain, offset, spread in zip(*steps, *policy, strict=True):
        feed = torch.cat([torch.eye(len(mean)).to(mean), gain])
        joint = feed @ covariance @ feed.mT
        joint[len(mean) :, len(mean) :] += spread
        centre = torch.cat([mean, gain @ mean + offset])
        entropy = (len(spread) * (1 + math.log(2 * math.pi)) + torch.logdet(spread)) / 2
        cost = (hessian * (joint + torch.outer(centre, centre))).sum() / 2 + slope @ centre + constant
        total = total + entropy - cost
        both = torch.cat([world.state_matrix, world.action_matrix], 1)
        mean, covariance = both @ centre, both @ joint @ both.mT + world.noise_covariance
    return total


def _backup(
    world: LinearQuadratic, steps: QuadraticSteps, ahead: Callable[[Quadratic], Quadratic]
) -> tuple[Quadratic, Controller]:
    size = world.observation_shape[0]
    both = torch.cat([world.state_matrix, world.action_matrix], 1).double()
    value = Quadratic(both.new_zeros(size, size), both.new_zeros(size), both.new_zeros(()))
    gains, offsets, covariances = [], [], []
    for time in reversed(range(len(steps.constant))):
        seen = ahead(value)
        hessian = steps.hessian[time] + both.mT @ seen.hessian @ both
        slope = steps.slope[time] + both.mT @ seen.slope
        of_action, cross = hessian[size:, size:], hessian[size:, :size]
        factor = _cholesky(
            of_action, f"the integral over actions is infinite: at step {time} the cost does not hold the action"
        )
        gain, offset = -torch.cholesky_solve(cross, factor), -torch.cholesky_solve(slope[size:, None], factor)[:, 0]
        curved = hessian[:size, :size] + cross.mT @ gain
        value = Quadratic(
            (curved + curved.mT) / 2,
            slope[:size] + cross.mT @ offset,
            steps.constant[time]
            + seen.constant
            + slope[size:] @ offset / 2
            + factor.diagonal().log().sum()
            - len(factor) / 2 * math.log(2 * math.pi),
        )
        gains.append(gain)
        offsets.append(offset)
        covariances.append(torch.cholesky_inverse(factor))
    return value, Controller(*(torch.stack(parts[::-1]) for parts in (gains, offsets, covariances)))


def _cholesky(matrix: Tensor, reason: str) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed):
        least = float(torch.linalg.eigvalsh(matrix).min())
        raise ValueError(f"{reason} (least curvature {least:.3g}, must be above 0)")
    return factor
