r"""Inverse reinforcement learning in tabular worlds, solved: no draws, no step sizes.

Both kinds minimise L_cost = E_p[c] + log of a normaliser over costs that are linear in features, :math:`c(s, a) = w
\cdot \phi(s, a)`, and both are smooth and convex in w. They differ in the normaliser: ``soft_value`` (maximum causal
entropy: the sampler that acts best in the true world matches the demonstrations) and ``log_z`` (maximum entropy over
trajectories, the paper's: p_theta itself does).
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lightning_irl.dynamic_programming.newton import Point, limited_memory, newton
from lightning_irl.dynamic_programming.occupancy import occupancy
from lightning_irl.dynamic_programming.tabular import (
    Backup,
    causal_backup,
    model_transitions,
    risk_seeking_backup,
)
from lightning_irl.environments.tabular import TabularMDP
from lightning_irl.spaces.trajectory import Trajectory

MOST_NEWTON_WEIGHTS = 500  # of a Hessian; its time grows with their square
ROUNDING = 1e-6  # nats a step
Features = Literal["state", "state_action"]


@dataclass(frozen=True)
class ExactIRL:
    """A cost that explains demonstrations, and the model that follows from it.

    Attributes:
        weights: w (k,).
        cost: c(s, a), (S, A), in nats; zero where the demonstrations do not determine it, such as in unreachable
            states.
        log_policy: log pi_t(a | s), (T, S, A): the soft-optimal policy, or p_theta's own.
        occupancy: of the policy in the world, or of p_theta (T, S, A).
        loss: L_cost = E_p[c] + soft_value or log_z, in nats, without the penalty.
        gap: L1 distance of expected features, summed over time, between demonstrations and model; for tables, of
            occupancies.
        slope: L1 norm of the gradient, which is the gap but for the penalty.
        evaluations: backups that it took.
        is_converged: whether ``slope`` is within the tolerance.
        reason: what is wrong if it is not.
    """

    weights: Tensor
    cost: Tensor
    log_policy: Tensor
    occupancy: Tensor
    loss: float
    gap: float
    slope: float
    evaluations: int
    is_converged: bool
    reason: str


def maximum_causal_entropy(
    mdp: TabularMDP,
    demonstrations: Trajectory | Tensor,
    horizon: int | None = None,
    features: Features | Tensor = "state_action",
    discount: float = 1.0,
    penalty: float = 0.0,
    tolerance: float = 1e-8,
    max_steps: int = 200,
) -> ExactIRL:
    r"""The cost whose soft-optimal policy visits what the demonstrations visit.

    .. math:: \min_w E_p[c_w] + \operatorname{soft\_value}(c_w) + \tfrac12 \lambda |w|^2, \qquad
        g = \sum_t \gamma^t (\rho^p_t - \rho^\pi_t) \cdot \phi + \lambda w

    What is matched are the features of the T states that are acted in, summed over time: the state after the last
    action pays no cost and is not counted. Newton steps with the exact Hessian, the sum over t of :math:`\gamma^t E_{s
    \sim \rho_t} \operatorname{Cov}_{a \sim \pi_t} \partial_w Q_t(s, a)`; L-BFGS for more than 500 weights.

    In a world of chance, few demonstrations have occupancies that no policy has. Nothing matches them: the loss falls
    without end, which is certain once it is below 0, the least causal entropy. ``is_converged`` is then False. With a
    penalty there is always a solution; 1 / N for N demonstrations is a normal prior of standard deviation 1 on each
    weight.

    Args:
        mdp: the world.
        demonstrations: trajectories; or their occupancy, as probabilities of each step (T, S, A), summed over time (S,
            A), or for ``state`` features (S,), discounted where it is summed.
        horizon: T; may be left out where the demonstrations tell.
        features: ``state_action`` (a table of costs), ``state`` (one of state costs), or phi as a tensor (S, k) or (S,
            A, k).
        discount: gamma; below 1 it is not the paper's objective.
        penalty: lambda.
        tolerance: L1 norm of the gradient at which to stop.
        max_steps: evaluations at most.

    Raises:
        ValueError: if shapes do not fit, or an occupancy does not sum to the steps of the horizon.

    Source: Ziebart, Bagnell and Dey 2010, Modeling interaction via the principle of maximum causal entropy (ICML);
        Ziebart 2010,
    Modeling purposeful adaptive behavior with the principle of maximum causal entropy (PhD thesis, Carnegie Mellon),
    chapter 9.

    Example:
        >>> from lightning_irl.dynamic_programming import causal_backup, occupancy
        >>> from lightning_irl.environments import CliffWorld
        >>> world = CliffWorld(4, 7)
        >>> expert = causal_backup(world, -world.rewards, horizon=40).log_policy
        >>> found = maximum_causal_entropy(world, occupancy(world, expert), features="state")
        >>> found.is_converged, found.gap < 1e-6
        (True, True)
    """
    target = _Target.of(mdp, demonstrations, horizon, features, discount)
    return _solve(_Causal(mdp, target, penalty, discount), tolerance, max_steps)


def trajectory_maxent(
    mdp: TabularMDP,
    demonstrations: Trajectory | Tensor,
    horizon: int | None = None,
    features: Features | Tensor = "state_action",
    penalty: float = 0.0,
    tolerance: float = 1e-8,
    max_steps: int = 200,
) -> ExactIRL:
    r"""The cost under which p_theta = p(world) exp(-c) / Z visits what the demonstrations visit: the paper's L_cost,
    solved.

    .. math:: \min_w E_p[c_w] + \log Z(c_w) + \tfrac12 \lambda |w|^2, \qquad
        g = \sum_t (\rho^p_t - \rho^{p_\theta}_t) \cdot \phi + \lambda w

    The Hessian is the covariance under p_theta of the features of a trajectory. Demonstrations of this world always
    have a solution, or one within the tolerance, since p_theta may choose next states as it chooses actions;
    demonstrations with an impossible step have none. In a stochastic world p_theta has better luck than any policy, so
    that no sampler equals it, and its cost explains demonstrations in part by luck.

    Arguments, errors and result are those of :func:`maximum_causal_entropy`; ``log_policy`` and ``occupancy`` are
    p_theta's own.

    Source: Ziebart, Maas, Bagnell and Dey 2008, Maximum entropy inverse reinforcement learning (AAAI).
    """
    target = _Target.of(mdp, demonstrations, horizon, features, 1.0)
    return _solve(_Trajectories(mdp, target, penalty), tolerance, max_steps)


@dataclass(frozen=True)
class _Target:
    """Features, and what the demonstrations have of them.

    ``basis`` is phi (S, A, k), or the name of a table; ``goal`` its expectation summed over time (k,).
    """

    basis: Features | Tensor
    shape: tuple[int, int]
    horizon: int
    goal: Tensor = field(default_factory=lambda: torch.zeros(0))

    @classmethod
    def of(
        cls,
        mdp: TabularMDP,
        demonstrations: Trajectory | Tensor,
        horizon: int | None,
        features: Features | Tensor,
        discount: float,
    ) -> _Target:
        shape = mdp.num_states, mdp.num_actions
        if isinstance(features, Tensor):
            features = features.to(mdp.transitions)
            if features.ndim == 2:
                features = features[:, None].expand(-1, mdp.num_actions, -1)
            if features.ndim != 3 or features.shape[:2] != shape:
                raise ValueError(f"features have shape {list(features.shape)}; it must be (S, k) or (S, A, k)")
        elif features not in ("state", "state_action"):
            raise ValueError(f"features is {features!r}; allowed: state, state_action, or a tensor")
        visits, horizon = _summed(mdp, demonstrations, horizon, discount)
        total = sum(discount**step for step in range(horizon))
        if abs(float(visits.sum()) - total) > 1e-6 * total:
            raise ValueError(
                f"the occupancy sums to {float(visits.sum()):.6g}, and must to {total:.6g}, one for each action of "
                "the horizon "
                "(discounted); leave out the state after the last action"
            )
        target = cls(features, shape, horizon)
        if visits.ndim == 1:
            if features != "state":
                raise ValueError("an occupancy of states alone needs features=state; give (S, A) for others")
            return cls(features, shape, horizon, visits)
        return cls(features, shape, horizon, target.project(visits))

    def lift(self, weights: Tensor) -> Tensor:
        """Costs (S, A) of weights (k,)."""
        if isinstance(self.basis, Tensor):
            return self.basis @ weights
        return weights[:, None].expand(self.shape) if self.basis == "state" else weights.view(self.shape)

    def project(self, visits: Tensor) -> Tensor:
        """Features (k,) of an occupancy (S, A)."""
        if isinstance(self.basis, Tensor):
            return visits.flatten() @ self.basis.flatten(0, 1)
        return visits.sum(1) if self.basis == "state" else visits.flatten()

    def jacobian(self) -> Tensor:
        """phi (S, A, k)."""
        if isinstance(self.basis, Tensor):
            return self.basis
        states, actions = self.shape
        if self.basis == "state":
            return torch.eye(states).to(self.goal)[:, None].expand(-1, actions, -1)
        return torch.eye(states * actions).to(self.goal).view(states, actions, -1)


def _summed(
    mdp: TabularMDP, demonstrations: Trajectory | Tensor, horizon: int | None, discount: float
) -> tuple[Tensor, int]:
    """Discounted visits (S, A), or (S,) where no more is given, and the horizon."""
    shape = mdp.num_states, mdp.num_actions
    if isinstance(demonstrations, Trajectory):
        if horizon not in (None, demonstrations.num_steps) or not bool(demonstrations.mask.all()):
            raise ValueError(
                f"demonstrations have {demonstrations.num_steps} steps, some of them without an action or not those "
                "of a "
                f"horizon of {horizon}; they must all have the whole horizon"
            )
        if demonstrations.observations.shape[2:] != shape[:1]:
            raise ValueError(
                f"demonstrations observe {list(demonstrations.observations.shape[2:])}; states of this world are "
                "one-hot vectors of "
                f"{shape[0]}"
            )
        states = demonstrations.observations[:, :-1].argmax(-1)
        cells = (states * mdp.num_actions + demonstrations.actions).to(mdp.transitions.device)
        weights = discount ** torch.arange(cells.shape[1]).to(mdp.transitions)
        visits = mdp.transitions.new_zeros(shape).flatten()
        visits.index_add_(0, cells.flatten(), weights.expand(cells.shape).flatten() / len(cells))
        return visits.view(shape), demonstrations.num_steps
    given = demonstrations.to(mdp.transitions)
    if given.ndim == 3 and given.shape[1:] == shape and horizon in (None, len(given)):
        weights = discount ** torch.arange(len(given)).to(given)
        return torch.einsum("t,tsa->sa", weights, given), len(given)
    if horizon is None or tuple(given.shape) not in (shape, shape[:1]):
        raise ValueError(
            f"the occupancy has shape {list(given.shape)} and the horizon is {horizon}; it must be (T, S, A) with "
            "that T, or "
            f"{list(shape)} or {list(shape[:1])} with a horizon"
        )
    return given, horizon


class _Dual(abc.ABC):
    """L_cost as a function of the weights, with its gradient and its Hessian.

    By duality its minimum, where there is one, is the largest entropy of what matches the demonstrations, which is at
    least ``floor``.
    """

    floor: float

    def __init__(self, mdp: TabularMDP, target: _Target, penalty: float) -> None:
        self.mdp, self.target, self.penalty = mdp, target, penalty

    def __call__(self, weights: Tensor) -> Point:
        cost = self.target.lift(weights)
        normaliser, backup, visits = self.solve(cost)
        gap = self.target.goal - self.target.project(self.summed(visits))
        value = float(self.target.goal @ weights + normaliser + self.penalty * weights.square().sum() / 2)
        hessian = partial(self.penalised, backup, visits)
        return Point(weights, value, gap + self.penalty * weights, hessian, (backup, visits))

    def penalised(self, backup: Backup, visits: Tensor) -> Tensor:
        hessian = self.hessian(backup, visits)
        hessian.diagonal().add_(self.penalty)
        return hessian

    def summed(self, visits: Tensor) -> Tensor:
        """Occupancy over all time (S, A)."""
        return visits.sum(0)

    @abc.abstractmethod
    def solve(self, cost: Tensor) -> tuple[Tensor, Backup, Tensor]:
        """Of a cost (S, A): the normaliser, a scalar; the backup; the model's occupancy (T, S, A)."""

    @abc.abstractmethod
    def hessian(self, backup: Backup, visits: Tensor) -> Tensor:
        """Second derivatives of the normaliser in the weights (k, k)."""


class _Causal(_Dual):
    floor = 0.0  # the causal entropy of a policy that is certain of its actions

    def __init__(self, mdp: TabularMDP, target: _Target, penalty: float, discount: float) -> None:
        super().__init__(mdp, target, penalty)
        self.discount = discount
        self.weights = discount ** torch.arange(target.horizon).to(mdp.transitions)

    def summed(self, visits: Tensor) -> Tensor:
        return torch.einsum("t,tsa->sa", self.weights, visits)

    def solve(self, cost: Tensor) -> tuple[Tensor, Backup, Tensor]:
        backup = causal_backup(self.mdp, cost, self.target.horizon, discount=self.discount)
        return self.mdp.initial @ backup.values[0], backup, occupancy(self.mdp, backup.log_policy)

    def hessian(self, backup: Backup, visits: Tensor) -> Tensor:
        phi, rows = self.target.jacobian(), self.mdp.transitions.flatten(0, 1)
        slope = phi.new_zeros(phi.shape[0], phi.shape[2])  # of V in the weights
        hessian = phi.new_zeros(phi.shape[2], phi.shape[2])
        policies = backup.log_policy.exp()
        for policy, visit, weight in zip(policies.flip(0), visits.flip(0), self.weights.flip(0), strict=True):
            action_slope = (rows @ slope).view_as(phi) * self.discount - phi
            slope = torch.einsum("sa,sak->sk", policy, action_slope)
            _add_gram(hessian, action_slope - slope[:, None], visit * weight)
        return hessian


class _Trajectories(_Dual):
    @property
    def floor(self) -> float:  # type: ignore[override]
        """Least log probability of the world along any trajectory: minus the relative entropy of
        one that is certain.
        """
        start, step = (table[table > 0].min().log() for table in (self.mdp.initial, self.mdp.transitions))
        return float(start + self.target.horizon * step)

    def solve(self, cost: Tensor) -> tuple[Tensor, Backup, Tensor]:
        backup = risk_seeking_backup(self.mdp, cost, self.target.horizon)
        start = self.mdp.initial.log() + backup.values[0]
        visits, found = start.softmax(-1), []
        for log_policy, value in zip(backup.log_policy, backup.values[1:], strict=True):
            found.append(visits[:, None] * log_policy.exp())
            visits = found[-1].flatten() @ self.rows(value)
        return start.logsumexp(-1), backup, torch.stack(found)

    def rows(self, value: Tensor) -> Tensor:
        """p_theta(s' | s, a) of a step, (S A, S'), where costs do not see the next state."""
        return model_transitions(self.mdp, value.new_zeros(1, 1, 1), value).flatten(0, 1)

    def hessian(self, backup: Backup, visits: Tensor) -> Tensor:
        """By the law of total covariance: over actions, next states and the start, each given what came before."""
        phi = self.target.jacobian()
        slope = phi.new_zeros(phi.shape[0], phi.shape[2])
        hessian = phi.new_zeros(phi.shape[2], phi.shape[2])
        steps = zip(backup.values[1:].flip(0), backup.log_policy.exp().flip(0), visits.flip(0), strict=True)
        for value, policy, visit in steps:
            rows = self.rows(value)
            reached = visit.flatten() @ rows
            slope = slope - reached @ slope  # centred, or the two terms below would cancel
            expected = (rows @ slope).view_as(phi)
            _add_gram(hessian, slope[:, None], reached[:, None])
            _add_gram(hessian, expected, -visit)
            action_slope = expected - phi
            slope = torch.einsum("sa,sak->sk", policy, action_slope)
            _add_gram(hessian, action_slope - slope[:, None], visit)
        start = visits[0].sum(-1, keepdim=True)
        _add_gram(hessian, (slope - start.T @ slope)[:, None], start)
        return hessian


def _add_gram(total: Tensor, vectors: Tensor, weights: Tensor) -> None:
    """Add the sum over s and a of weights (S, A) times the outer products of vectors (S, A, k)."""
    rows = vectors.flatten(0, 1)
    total.addmm_((rows * weights.flatten()[:, None]).T, rows)


@torch.no_grad()
def _solve(dual: _Dual, tolerance: float, max_steps: int) -> ExactIRL:
    start = torch.zeros_like(dual.target.goal)
    method = newton if len(start) <= MOST_NEWTON_WEIGHTS else limited_memory
    floor = -math.inf if dual.penalty else dual.floor - ROUNDING * dual.target.horizon
    point, evaluations = method(dual, start, tolerance, max_steps, floor)
    backup, visits = point.memory
    is_converged = point.slope <= tolerance
    return ExactIRL(
        weights=point.weights,
        cost=dual.target.lift(point.weights),
        log_policy=backup.log_policy,
        occupancy=visits,
        loss=point.value - dual.penalty * float(point.weights.square().sum()) / 2,
        gap=float((point.gradient - dual.penalty * point.weights).abs().sum()),
        slope=point.slope,
        evaluations=evaluations,
        is_converged=is_converged,
        reason="" if is_converged else _reason(point, evaluations, floor),
    )


def _reason(point: Point, evaluations: int, floor: float) -> str:
    if point.value < floor:
        return (
            f"the loss fell to {point.value:.3g}, below the {floor:.3g} that any optimum has: nothing matches these "
            "demonstrations exactly, as is usual for few of them; set penalty, such as 1 / their number"
        )
    return (
        f"the gradient is still {point.slope:.2g} after {evaluations} evaluations; raise max_steps, tolerance or "
        "penalty"
    )
