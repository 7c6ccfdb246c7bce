"""Minimisers of convex functions with known minima."""

import math

import pytest
import torch

from lightning_irl.dynamic_programming.newton import Point, limited_memory, newton

minimisers = pytest.mark.parametrize("minimise", [newton, limited_memory])


def logistic(weights):
    """Sum of log(1 + e^w) - target w, with minimum where sigmoid(w) = target."""
    target = torch.tensor([0.2, 0.5, 0.999]).double()
    chance = weights.sigmoid()
    value = torch.nn.functional.softplus(weights) - target * weights
    return Point(weights, float(value.sum()), chance - target, lambda: (chance * (1 - chance)).diag())


def flat(weights):
    """(w_0 + w_1 - 3)^2: a valley."""
    ones = torch.ones(2).double()
    rest = weights.sum() - 3
    return Point(weights, float(rest.square()), 2 * rest * ones, lambda: 2 * ones.outer(ones))


def endless(weights):
    """-5 w: falls without end."""
    return Point(weights, float(-5 * weights.sum()), torch.full_like(weights, -5.0), lambda: torch.zeros(2, 2).double())


@minimisers
def test_minimum_of_logistic_losses(minimise):
    point, evaluations = minimise(logistic, torch.zeros(3).double(), 1e-8, 100)
    assert point.slope <= 1e-8
    assert evaluations < 60
    torch.testing.assert_close(point.weights, torch.tensor([0.2, 0.5, 0.999]).double().logit(), rtol=1e-4, atol=1e-6)


@minimisers
def test_a_valley_is_reached_by_the_shortest_way(minimise):
    point, _ = minimise(flat, torch.tensor([1.0, 0.0]).double(), 1e-10, 100)
    torch.testing.assert_close(point.weights, torch.tensor([2.0, 1.0]).double())


@minimisers
def test_what_falls_below_the_floor_is_stopped(minimise):
    point, evaluations = minimise(endless, torch.zeros(2).double(), 1e-10, 1000, floor=-1e3)
    assert point.value < -1e3
    assert evaluations < 100


@minimisers
def test_at_most_so_many_evaluations(minimise):
    calls = []

    def counted(weights):
        calls.append(1)
        return logistic(weights)

    _, evaluations = minimise(counted, torch.zeros(3).double(), 0.0, 5)
    assert len(calls) == evaluations
    assert 5 <= evaluations <= 5 + (20 if minimise is limited_memory else 0)


def test_a_step_that_is_not_finite_is_taken_back():
    def cliff(weights):
        """Quadratic, undefined beyond 1."""
        value = math.nan if float(weights.max()) > 1 else float((weights - 0.9).square().sum())
        return Point(weights, value, 2 * (weights - 0.9), lambda: 0.5 * torch.eye(1).double())

    point, _ = newton(cliff, torch.zeros(1).double(), 1e-9, 200)
    assert float(point.weights) == pytest.approx(0.9, abs=1e-8)
