"""Toy densities: the draws, the log density and the box say the same; a new density is covered by its name in
DENSITIES.
"""

import math

import pytest
import torch

from lightning_irl.datamodules import ToyDataModule
from lightning_irl.datamodules.densities import DENSITIES

HALF_WIDTH = {"funnel": (8.0, 400.0)}  # of the grid in each coordinate; the funnel's second one is exp(x_1 / 2) wide
NUM = {
    "two_moons": 160,
    "spirals": 160,
}  # of a grid's points in each coordinate, 800 by default: two thirds of the noise apart


def grid(name):
    """Midpoints (num^2, 2) and the logarithm of each one's area, even in each coordinate; in asinh for a heavy tail."""
    density, num = DENSITIES[name](), NUM.get(name, 800)
    half = HALF_WIDTH.get(name, (density.box[1],) * 2 if density.box else (5.0, 5.0))
    axes, log_widths = [], []
    for reach in half:
        is_heavy = reach > 100
        end = math.asinh(reach) if is_heavy else reach
        nodes = (torch.arange(num, dtype=torch.float64) + 0.5) * (2 * end / num) - end
        axes.append(nodes.sinh() if is_heavy else nodes)
        log_widths.append((nodes.cosh().log() if is_heavy else 0 * nodes) + math.log(2 * end / num))
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    log_area = (log_widths[0][:, None] + log_widths[1][None]).flatten()
    return density, points, log_area


@pytest.mark.long
@pytest.mark.parametrize("name", DENSITIES)
def test_integrates_to_one_and_draws_have_its_entropy(name):
    """The mean of log p over 20,000 draws against the grid's; 4 standard errors. And the draws are where the density
    is.
    """
    density, points, log_area = grid(name)
    log_prob = density.log_prob(points)
    mass = (log_prob + log_area).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-5)
    negative_entropy = (mass * log_prob.nan_to_num(neginf=0.0)).sum()
    samples = density.sample(20_000, torch.Generator().manual_seed(0))
    drawn = density.log_prob(samples.double())
    assert torch.isfinite(drawn).all()
    error = drawn.std() / math.sqrt(len(drawn))
    assert abs(drawn.mean() - negative_entropy) < 4 * error + 1e-6
    for power in (1, 2):  # where the draws are, not only how dense: moments of a bounded function of both coordinates
        feature = torch.sin(power * points[:, 0] + 0.7) * torch.cos(points[:, 1] - 0.3 * power)
        drawn = torch.sin(power * samples[:, 0].double() + 0.7) * torch.cos(samples[:, 1].double() - 0.3 * power)
        assert abs(drawn.mean() - (mass * feature).sum()) < 4 * drawn.std() / math.sqrt(len(drawn))


@pytest.mark.parametrize("name", DENSITIES)
def test_single_precision_agrees_with_double(name):
    density = DENSITIES[name]()
    samples = density.sample(500, torch.Generator().manual_seed(1))
    log_prob = density.log_prob(samples)
    assert log_prob.dtype == torch.float32
    torch.testing.assert_close(log_prob.double(), density.log_prob(samples.double()), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", DENSITIES)
def test_nothing_is_made_on_another_device(name):
    density = DENSITIES[name]()
    samples = density.sample(20, torch.Generator().manual_seed(1))
    with torch.device("meta"):
        assert density.log_prob(samples).device.type == "cpu"


@pytest.mark.parametrize("name", DENSITIES)
def test_the_event_says_where_the_points_are(name):
    data = ToyDataModule(name, train_size=4000, val_size=10, test_size=20, batch_size=8)
    assert [len(part) for part in data.splits] == [4000, 10, 20]
    assert data.event["shape"] == [2]
    torch.testing.assert_close(data.splits.train.mean(0), torch.tensor(data.event["location"]))
    torch.testing.assert_close(data.splits.train.std(0), torch.tensor(data.event["scale"]))
    box = DENSITIES[name].box
    assert data.event["support"] == ("real" if box is None else "box")
    if box is not None:
        assert (data.event["low"], data.event["high"]) == box
        assert (data.splits.train.abs() <= box[1]).all()


def test_points_are_a_function_of_the_seed():
    first, again, other = (ToyDataModule("rings", 50, 10, 10, 8, seed=seed).splits for seed in (3, 3, 4))
    assert torch.equal(first.train, again.train)
    assert torch.equal(first.test, again.test)
    assert not torch.equal(first.train, other.train)
    assert not torch.equal(first.train[:10], first.test)


def test_an_unknown_density_is_refused():
    with pytest.raises(ValueError, match=r"toy density 'moons' is not known; allowed: eight_gaussians, two_moons"):
        ToyDataModule("moons")
