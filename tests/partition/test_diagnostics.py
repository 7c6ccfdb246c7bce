"""Diagnostics against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.partition.diagnostics import (
    chain_effective_size,
    effective_sample_size,
    log_mean_with_error,
    pareto_k_hat,
    split_r_hat,
)


def test_log_mean_exp_of_lognormal_weights():
    # log E exp(N(m, s^2)) = m + s^2 / 2; relative variance e^(s^2) - 1.
    log_weights = 1e4 + 0.5 * torch.randn(100_000, dtype=torch.float64)
    value, stderr = log_mean_with_error(log_weights)
    exact_stderr = math.sqrt((math.exp(0.25) - 1) / 100_000)
    assert stderr == pytest.approx(exact_stderr, rel=0.05)
    assert abs(value - 1e4 - 0.125) < 4 * exact_stderr


@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_diagnostics_do_not_depend_on_a_constant(offset):
    log_weights = torch.randn(1000, dtype=torch.float64)
    moved = log_weights + offset
    assert log_mean_with_error(moved).value - offset == pytest.approx(log_mean_with_error(log_weights).value, abs=1e-9)
    assert log_mean_with_error(moved).stderr == pytest.approx(log_mean_with_error(log_weights).stderr, rel=1e-9)
    assert effective_sample_size(moved) == pytest.approx(effective_sample_size(log_weights), rel=1e-9)
    assert pareto_k_hat(moved) == pytest.approx(pareto_k_hat(log_weights), abs=1e-6)


def test_effective_sample_size_counts():
    assert effective_sample_size(torch.zeros(7)) == pytest.approx(7)
    half = torch.cat([torch.zeros(50), torch.full((50,), -math.inf)])
    assert effective_sample_size(half) == pytest.approx(50)
    spread = torch.linspace(-1e4, 1e4, 100)
    assert effective_sample_size(spread) == pytest.approx(1)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_k_hat_of_a_known_pareto_tail(k):
    # 2e5 weights leave 3 sqrt(n) = 1342 in the tail; the estimate's asymptotic error is (1 + k) / sqrt(1342) <= 0.052.
    uniform = torch.rand(200_000, dtype=torch.float64)
    assert pareto_k_hat(-k * uniform.log()) == pytest.approx(k, abs=4 * (1 + k) / math.sqrt(1342))


def test_k_hat_of_bounded_weights_is_negative():
    # Uniform weights have k = -1; the weak prior at 0.5 pulls a tail of 300 up by 3 %. Error (1 + k) is 0 at k = -1.
    assert pareto_k_hat(torch.rand(10_000, dtype=torch.float64).log()) == pytest.approx(-0.95, abs=0.15)
    assert pareto_k_hat(torch.zeros(1000)) == -1.0


def test_k_hat_of_few_or_dominated_weights_is_infinite():
    assert pareto_k_hat(torch.zeros(4)) == math.inf
    assert pareto_k_hat(torch.linspace(-1e4, 1e4, 100)) > 0.7


def test_unusable_weights_are_said_to_be():
    for bad in (math.nan, math.inf):
        log_weights = torch.tensor([0.0] * 50 + [bad])
        assert math.isnan(log_mean_with_error(log_weights).value)
        assert math.isnan(effective_sample_size(log_weights))
        assert math.isnan(pareto_k_hat(log_weights))
    nothing = torch.full((50,), -math.inf)
    assert log_mean_with_error(nothing).value == -math.inf
    assert effective_sample_size(nothing) == 0
    with pytest.raises(ValueError, match="no log weights"):
        log_mean_with_error(torch.zeros(0))


def test_split_r_hat():
    mixed = torch.randn(4, 1000)
    assert split_r_hat(mixed) == pytest.approx(1, abs=0.01)
    assert split_r_hat(mixed + torch.arange(4)[:, None]) > 1.3  # variance between means 1.67 against 1 within
    assert split_r_hat(mixed + torch.linspace(0, 4, 1000)) > 1.3  # one trend, seen by halving


def test_chain_effective_size_of_autoregressive_chains():
    # x_t = a x_(t-1) + e: n_eff = n (1 - a) / (1 + a). Its estimate from 64 block means has a relative error of
    # sqrt(2 / 63) = 0.18.
    a, chains, draws = 0.8, 64, 500
    x = torch.randn(chains)
    values = torch.empty(chains, draws)
    for index in range(draws):
        x = a * x + math.sqrt(1 - a * a) * torch.randn(chains)
        values[:, index] = x
    expected = chains * draws * (1 - a) / (1 + a)
    assert chain_effective_size(values) == pytest.approx(expected, rel=3 * 0.18)
