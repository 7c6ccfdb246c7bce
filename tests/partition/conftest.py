"""Costs with a known log Z, skewed wherever possible: a sign error hides in symmetric targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import Event, make_event

LOG_2PI = math.log(2 * math.pi)


class Known(NamedTuple):
    cost: Callable[[Tensor], Tensor]
    log_z: float
    event: Event
    sampler: Sampler


def _skew_normal(dimension: int) -> Known:
    """exp(-c) = prod exp(-x^2 / 2) Phi(5 x), with mean 0.78 and standard deviation 0.62 in each coordinate."""
    event = make_event("point", [dimension], location=[0.78], scale=[0.62])
    return Known(
        cost=lambda x: (x.square() / 2 - torch.special.log_ndtr(5 * x)).flatten(1).sum(-1),
        log_z=dimension * (LOG_2PI / 2 - math.log(2)),
        event=event,
        sampler=BroadSampler(event, width=1.8),
    )


def _log_gamma(dimension: int) -> Known:
    """exp(-c) = prod exp(2 x - e^x) = prod Gamma(2) densities of log x: skewed to the left, Z = 1."""
    event = make_event("point", [dimension], location=[0.42], scale=[0.80])
    return Known(
        cost=lambda x: (x.exp() - 2 * x).flatten(1).sum(-1),
        log_z=0.0,
        event=event,
        sampler=BroadSampler(event, width=1.3),
    )


def _beta_pixels(shape: list[int]) -> Known:
    """Independent beta(2, 4) pixels on [0, 1] under a uniform sampler."""
    event = make_event("image", shape, support="box", location=[1 / 3], scale=[0.18])
    log_beta = math.lgamma(2) + math.lgamma(4) - math.lgamma(6)
    return Known(
        cost=lambda x: -(x.log() + 3 * torch.log1p(-x)).flatten(1).sum(-1),
        log_z=math.prod(shape) * log_beta,
        event=event,
        sampler=BroadSampler(event),
    )


def _gaussian_image(width: float) -> Known:
    """|x|^2 / (2 0.3^2) on [1, 8, 8] images of the real line, under a Gaussian ``width`` times as wide."""
    event = make_event("image", [1, 8, 8], scale=[0.3])
    return Known(
        cost=lambda x: x.flatten(1).square().sum(-1) / (2 * 0.3**2),
        log_z=64 * (math.log(0.3) + LOG_2PI / 2),
        event=event,
        sampler=BroadSampler(event, width=width),
    )


def _missed_mode(dimension: int) -> Known:
    """Two unit Gaussians 8 apart, the sampler on the first alone."""
    event = make_event("point", [dimension])

    def cost(x: Tensor) -> Tensor:
        far = x - 8 / math.sqrt(dimension)
        return -torch.logaddexp(-x.square().sum(-1) / 2, -far.square().sum(-1) / 2)

    return Known(cost, math.log(2) + dimension * LOG_2PI / 2, event, BroadSampler(event, width=1.1))


@pytest.fixture
def skew_normal() -> Callable[[int], Known]:
    return _skew_normal


@pytest.fixture
def log_gamma() -> Callable[[int], Known]:
    return _log_gamma


@pytest.fixture
def beta_pixels() -> Callable[[list[int]], Known]:
    return _beta_pixels


@pytest.fixture
def gaussian_image() -> Callable[[float], Known]:
    return _gaussian_image


@pytest.fixture
def missed_mode() -> Callable[[int], Known]:
    return _missed_mode


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
