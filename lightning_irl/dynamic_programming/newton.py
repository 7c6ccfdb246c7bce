"""Minimising a smooth convex function, with its Hessian, or without where that is too large."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

ACCEPT, TRUST = 1e-4, 0.75  # of the predicted decrease: what a step must reach, and what lowers the damping
ROUNDING = 1e-12  # relative; predicted decreases below it are told by the gradient
MOST_DAMPING = 1e12  # over the first Hessian's mean diagonal; beyond, no step is left
CORRECTIONS = 50  # pairs that L-BFGS keeps


class Point(NamedTuple):
    """A function where it was evaluated.

    Attributes:
        weights: where (k,), float64.
        value: there.
        gradient: (k,).
        hessian: called, gives the Hessian (k, k).
        memory: whatever the function wants to keep of it.
    """

    weights: Tensor
    value: float
    gradient: Tensor
    hessian: Callable[[], Tensor]
    memory: tuple[Any, ...] = ()

    @property
    def slope(self) -> float:
        """L1 norm of the gradient."""
        return float(self.gradient.abs().sum())


Function = Callable[[Tensor], Point]


def newton(
    function: Function, start: Tensor, tolerance: float, max_steps: int, floor: float = -math.inf
) -> tuple[Point, int]:
    r"""Damped Newton steps, by Levenberg's and Marquardt's rule.

    .. math:: w' = w - (H + \lambda I)^{-1} g

    The damping :math:`\lambda` falls tenfold while the quadratic model predicts the decrease well, and grows fourfold
    otherwise. A singular Hessian is fine: directions without a gradient stay where they started.

    Args:
        function: convex.
        start: weights (k,), float64.
        tolerance: L1 norm of the gradient at which to stop.
        max_steps: evaluations at most.
        floor: a lower bound of any minimum: a function that falls below it has no minimum, and the search stops.

    Returns:
        The last point, and the number of evaluations.
    """
    point = function(start)
    hessian = point.hessian()
    scale = max(float(hessian.diagonal().mean()), torch.finfo(hessian.dtype).tiny)
    unit, damping = torch.eye(len(start)).to(hessian), scale
    for count in range(1, max_steps):
        if point.slope <= tolerance or point.value < floor or damping > MOST_DAMPING * scale:
            return point, count
        factor, failed = torch.linalg.cholesky_ex(hessian + damping * unit)
        if failed:
            damping *= 4
            continue
        step = -torch.cholesky_solve(point.gradient[:, None], factor).squeeze(-1)
        predicted = -float(point.gradient @ step + (step @ hessian @ step) / 2)
        found = function(point.weights + step)
        rounding = ROUNDING * max(abs(point.value), 1.0)
        if predicted > rounding:
            ratio = (point.value - found.value) / predicted
        else:
            ratio = 1.0 if found.slope < point.slope else 0.0
        damping *= 0.1 if ratio > TRUST else 1 if ratio > TRUST / 3 else 4
        if ratio > ACCEPT:
            point, hessian = found, found.hessian()
    return point, max_steps


def limited_memory(
    function: Function, start: Tensor, tolerance: float, max_steps: int, floor: float = -math.inf
) -> tuple[Point, int]:
    """L-BFGS, for more weights than a Hessian can have; arguments and result as of :func:`newton`.

    It stops where the decrease is lost in rounding, at a gradient of about 1e-7 in L1 norm on the problems here, and
    may finish a line search beyond ``max_steps``.
    """
    best = function(start)
    count = 1

    def value_and_gradient(weights: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        nonlocal best, count
        point = function(torch.from_numpy(weights).to(start))
        count += 1
        if point.slope < best.slope or point.value < floor:
            best = point
        return point.value, point.gradient.cpu().numpy()

    def stop(_: numpy.ndarray) -> None:
        if best.slope <= tolerance or best.value < floor:
            raise StopIteration

    from scipy.optimize import minimize  # slow to import

    options = {"maxcor": CORRECTIONS, "maxfun": max_steps, "maxiter": max_steps, "ftol": 0.0, "gtol": 0.0}
    minimize(value_and_gradient, start.cpu().numpy(), jac=True, method="L-BFGS-B", callback=stop, options=options)
    return best, count
