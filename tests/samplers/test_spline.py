"""Splines against zuko's, which are written otherwise."""

import pytest
import torch
from zuko.transforms import MonotonicRQSTransform

from lightning_irl.samplers.spline import rational_quadratic_spline

BOUND = 3.0


def case(bins, dtype=torch.float64, number=400):
    """Inputs of which a third are beyond the bound, and parameters."""
    torch.manual_seed(0)
    inputs = BOUND * torch.randn(2, number, dtype=dtype)
    parameters = 2 * torch.randn(2, 3 * bins - 1, number, dtype=dtype)
    return inputs.requires_grad_(), parameters.requires_grad_()


def spline(inputs, parameters, bins, inverse=False):
    return rational_quadratic_spline(inputs, *parameters.split([bins, bins, bins - 1], 1), BOUND, inverse)


def peer(inputs, parameters, bins, inverse):
    parts = parameters.movedim(1, -1).split([bins, bins, bins - 1], -1)
    transform = MonotonicRQSTransform(*parts, bound=BOUND)
    return (transform.inv if inverse else transform).call_and_ladj(inputs)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("bins", [1, 2, 5, 8])
def test_is_zukos_with_its_gradients(bins, inverse):
    given = case(bins)
    found = spline(*given, bins, inverse)
    expected = peer(*given, bins, inverse)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    weights = torch.randn(2, 2, 400, dtype=torch.float64)
    mine, theirs = (
        torch.autograd.grad((torch.stack(pair) * weights).sum(), given, materialize_grads=True)
        for pair in (found, expected)
    )
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_inverts_and_its_slope_is_the_reciprocal(dtype):
    inputs, parameters = case(4, dtype)
    moved, log_slope = spline(inputs, parameters, 4)
    back, back_log_slope = spline(moved, parameters, 4, inverse=True)
    rounding = 2000 * torch.finfo(dtype).eps  # slopes are from 1/1000 to 1000
    torch.testing.assert_close(back, inputs, rtol=rounding, atol=rounding)
    assert float((log_slope + back_log_slope).abs().mean()) < rounding


@pytest.mark.parametrize("inverse", [False, True])
def test_is_the_identity_beyond_its_bound_and_at_it(inverse):
    _, parameters = case(3, number=6)
    inputs = torch.tensor([-1e30, -3.5, -3.0, 3.0, 3.5, 1e30], dtype=torch.float64).expand(2, 6).clone()
    inputs.requires_grad_()
    outputs, log_slope = spline(inputs, parameters, 3, inverse)
    assert torch.equal(outputs, inputs)
    assert torch.equal(log_slope, torch.zeros_like(inputs))
    gradients = torch.autograd.grad((outputs + log_slope).sum(), (inputs, parameters))
    assert torch.equal(gradients[0], torch.ones_like(inputs))
    assert torch.equal(gradients[1], torch.zeros_like(parameters))


@pytest.mark.long
def test_a_second_derivative_is_that_of_the_first():
    inputs, parameters = case(3, number=20)
    for inverse in (False, True):
        assert torch.autograd.gradgradcheck(
            lambda x, p, inverse=inverse: spline(x, p, 3, inverse), (inputs, parameters)
        )
