"""Metrics against closed forms, in pieces as in one, and reduced over processes as if there were one."""

import math

import pytest
import torch

from lightning_irl.metrics import BitsPerDim, KLOnGrid, PartitionFunction

CASES = {
    "partition": (PartitionFunction, {}, lambda n: {"cost": 900 * torch.randn(n), "log_q": torch.randn(n)}),
    "bits": (BitsPerDim, {"dimension": 3}, lambda n: {"log_prob": torch.randn(n), "log_det": torch.randn(n)}),
    "kl": (KLOnGrid, {}, lambda n: {"log_p": torch.randn(n), "cost": torch.randn(n)}),
}


def cut(fields, start, stop):
    return {name: values[start:stop] for name, values in fields.items()}


@pytest.mark.parametrize("case", CASES)
def test_pieces_are_worth_the_whole(case):
    kind, options, draw = CASES[case]
    fields = draw(70)
    whole, pieces = kind(**options), kind(**options)
    whole.update(**fields)
    pieces.update(**cut(fields, 0, 9))
    pieces.update(**cut(fields, 9, 70))
    torch.testing.assert_close(whole.compute(), pieces.compute(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_processes_reduce_to_the_whole(case):
    """What torchmetrics does after gathering: stack each state over processes and apply its reduction."""
    kind, options, draw = CASES[case]
    fields = draw(70)
    whole, first, second = kind(**options), kind(**options), kind(**options)
    whole.update(**fields)
    first.update(**cut(fields, 0, 20))
    second.update(**cut(fields, 20, 70))
    for name, reduction in first._reductions.items():
        setattr(first, name, reduction(torch.stack([getattr(first, name), getattr(second, name)])))
    first._update_count, first._computed = 1, None
    torch.testing.assert_close(whole.compute(), first.compute(), rtol=1e-6, atol=1e-6)


def test_log_z_of_a_gaussian_and_its_effective_sample_size():
    """Weights 1 and 3: log Z = log 2, ESS = 16/10."""
    metric = PartitionFunction()
    metric.update(cost=-torch.tensor([0.0, math.log(3.0)]), log_q=torch.zeros(2))
    assert metric.compute().item() == pytest.approx(math.log(2), abs=1e-6)
    assert metric.ess().item() == pytest.approx(1.6, abs=1e-6)


def test_kl_between_gaussians_whatever_the_constant():
    """KL(N(0,1), N(1, 2^2)) = log 2 + (1 + 1)/8 - 1/2, with a shift of the cost that must not matter."""
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    log_p = -x.square() / 2 - math.log(2 * math.pi) / 2
    metric = KLOnGrid()
    for part in torch.arange(4001).split(1000):
        metric.update(log_p[part], (x[part] - 1).square() / 8 + 17.0)
    assert metric.compute().item() == pytest.approx(math.log(2) + 0.25 - 0.5, abs=1e-5)


def test_kl_where_the_truth_is_zero():
    metric = KLOnGrid()
    metric.update(torch.tensor([math.log(0.5), math.log(0.5), -math.inf]), torch.zeros(3))
    assert metric.compute().item() == pytest.approx(math.log(3 / 2), abs=1e-6)


def test_bits_of_uniform_noise_over_17_levels():
    """A uniform density on the unit box of images of 17 levels costs log2 17 bits a pixel."""
    metric = BitsPerDim(dimension=64)
    metric.update(torch.zeros(5), torch.full((5,), -64 * math.log(17)))
    assert metric.compute().item() == pytest.approx(math.log2(17), abs=1e-6)
