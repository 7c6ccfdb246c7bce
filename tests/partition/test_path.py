"""The path between sampler and model, in either coordinates."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_irl.partition.path import GeometricPath


def test_path_on_a_box_integrates_as_the_box_does(beta_pixels):
    # At beta = 1 the free density is exp(-c) times the Jacobian: its integral over R is the beta function.
    known = beta_pixels([1, 1, 1])
    path = GeometricPath(known.cost, known.sampler)
    free = torch.linspace(-25, 25, 20_001, dtype=torch.float64)[:, None]
    integral = torch.trapezoid(path.potential(1.0)(free).neg().exp(), free[:, 0])
    assert math.log(float(integral)) == pytest.approx(known.log_z, abs=1e-6)
