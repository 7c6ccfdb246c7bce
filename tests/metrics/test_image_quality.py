"""Distances between sets of images against closed forms, and the network that makes features."""

import math

import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from lightning_irl.datamodules import DigitsDataModule
from lightning_irl.metrics import FeatureNetwork, ImageJudge, load_features, save_features, train_features
from lightning_irl.metrics.distances import (
    AsGiven,
    discrepancy,
    frechet_distance,
    gaussian_kernel,
    median_distance,
    nearest,
    polynomial_kernel,
    separation,
)
from lightning_irl.metrics.features import InceptionFeatures, turned


def exact_gaussian(mean, covariance, num=400):
    """Samples (num, d) whose mean and covariance are these, to rounding."""
    raw = torch.randn(num, len(mean), dtype=torch.float64)
    raw = raw - raw.mean(0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(raw.T.cov())).T
    return mean + white @ torch.linalg.cholesky(covariance).T


def test_frechet_distance_of_gaussians():
    """Covariances A and B that do not commute: |m|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2, and in 2-D
    (tr M^1/2)^2 = tr M + 2 sqrt(det M)."""
    a = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    b = torch.tensor([[0.5, -0.3], [-0.3, 3.0]], dtype=torch.float64)
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    cross = math.sqrt(torch.trace(a @ b) + 2 * math.sqrt(torch.det(a) * torch.det(b)))
    expected = 5 + torch.trace(a) + torch.trace(b) - 2 * cross
    found = frechet_distance(exact_gaussian(torch.zeros(2), a), exact_gaussian(mean, b))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_kernel_discrepancy_is_that_of_torchmetrics():
    """With subsets of everything; theirs, 1/(m(m-1)) within and 1/m^2 across, is the same at equal counts."""
    first, second = torch.randn(50, 8), 0.3 + torch.randn(50, 8)
    theirs = KernelInceptionDistance(feature=AsGiven(8), subsets=1, subset_size=50)
    theirs.update(first, real=True)
    theirs.update(second, real=False)
    ours = discrepancy(first, second, polynomial_kernel)
    assert ours.value.item() == pytest.approx(theirs.compute()[0].item(), rel=1e-4)


def test_discrepancy_of_gaussians():
    """E k(x, y) of N(0, I) and N(m, I) in d dimensions, width w: (w^2 / (w^2 + 2))^(d/2) exp(-|m|^2
    / (2 (w^2 + 2))).
    """
    shift, width, dimension = 1.0, 1.5, 3
    squared = width**2 + 2
    peak = (width**2 / squared) ** (dimension / 2)
    expected = 2 * peak * (1 - math.exp(-dimension * shift**2 / (2 * squared)))
    found = discrepancy(torch.randn(500, dimension), shift + torch.randn(300, dimension), gaussian_kernel([width]))
    assert abs(found.value - expected) < 4 * found.stderr
    assert found.stderr < 0.1 * expected


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_standard_error_of_a_discrepancy(shift):
    """300 repetitions on skewed data: their standard deviation has a relative error of 0.05 or so, and the centre of
    equal sets is 0. The error is allowed to be a third too large, since its first order cannot be below 0, but not too
    small."""
    found = [
        discrepancy(torch.randn(60, 3) ** 2, torch.randn(40, 3) ** 2 + shift, gaussian_kernel([0.5, 1.0, 2.0]))
        for _ in range(300)
    ]
    values, errors = torch.stack([item.value for item in found]), torch.stack([item.stderr for item in found])
    assert 0.85 < errors.square().mean().sqrt() / values.std() < 1.4
    if not shift:
        assert abs(values.mean()) < 4 * values.std() / 300**0.5


def test_a_discrepancy_needs_two_of_each():
    with pytest.raises(ValueError, match="5 and 1 samples"):
        discrepancy(torch.randn(5, 2), torch.randn(1, 2), polynomial_kernel)


def test_a_training_images_nearest_neighbour_is_itself():
    images = 100 + torch.rand(40, 30)  # far from 0, where differences of squares lose digits
    found = nearest(images, images)
    assert found.distances.tolist() == [0.0] * 40
    assert found.places.tolist() == list(range(40))
    others = nearest(images, images, skip=torch.arange(40))
    distances = torch.cdist(images.double(), images.double()) + 1e9 * torch.eye(40)
    torch.testing.assert_close(others.distances.double(), distances.amin(1), rtol=1e-3, atol=0)


def test_separation_of_sets_apart_alike_and_large():
    low, high = torch.randn(100), 10 + torch.randn(80)
    assert separation(low, high) == 1
    assert separation(high, low) == 0
    assert separation(low, low).item() == pytest.approx(0.5, abs=1e-6)
    assert separation(low - 5000, high - 5000) == 1  # energies are no probabilities: nothing may be squashed
    assert separation(low, torch.full((3,), math.inf)) == 1
    assert separation(low, torch.full((3,), math.nan)).isnan()
    # the area is P(Y > X) = Phi(1 / sqrt 2) for N(0, 1) and N(1, 1); its standard error at 2,000 each is below 0.01
    found = separation(torch.randn(2000), 1 + torch.randn(2000))
    assert abs(found - 0.7602) < 0.03


def digits():
    data = DigitsDataModule()
    parts = [(levels + 0.5) / 17 for levels in data.splits]
    return parts, data.labels


@pytest.mark.long
def test_a_feature_network_knows_digits_and_survives_its_file(tmp_path):
    (train, _, test), labels = digits()
    state = torch.get_rng_state()
    network = train_features(train, labels.train, data="digits", num_steps=150)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.name == "digits-8x8-cnn64-seed0"
    assert (network.logits(test).argmax(1) == labels.test).double().mean() > 0.93
    features = network(train)
    assert features.mean(0).abs().max() < 1e-3
    assert features.var(0).sum().item() == pytest.approx(64, rel=1e-3)
    path = tmp_path / "features" / "network.pt"
    save_features(network, path)
    again = load_features(path)  # with weights_only=True
    assert again.name == network.name
    assert torch.equal(again(test), network(test))
    assert not any(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.long
def test_without_labels_the_network_learns_turns():
    (train, _, test), _ = digits()
    network = train_features(train, data="digits", seed=3, num_steps=100)
    assert network.name == "digits-8x8-cnn64-seed3-turns"
    images, turns = turned(test)
    assert (network.logits(images).argmax(1) == turns).double().mean() > 0.5  # 0.25 by chance


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 5, 7)])
def test_shapes_of_features(shape):
    network = FeatureNetwork(shape, 7, "any", num_features=16)
    assert network(torch.rand(2, *shape)).shape == (2, 16)
    assert network.logits(torch.rand(2, *shape)).shape == (2, 7)


def test_what_is_no_feature_network_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no feature network .*nope.pt; give train, inception, or the path"):
        load_features(tmp_path / "nope.pt")
    (tmp_path / "text.pt").write_text("not a network")
    with pytest.raises(ValueError, match=r"text.pt is no saved feature network"):
        load_features(tmp_path / "text.pt")
    with pytest.raises(ValueError, match="use small letters"):
        FeatureNetwork([1, 8, 8], 10, "Digits/8")
    with pytest.raises(ValueError, match="not inception"):
        FeatureNetwork([1, 8, 8], 10, "inception")
    with pytest.raises(ValueError, match=r"shape \[C, H, W\], not \[64\]"):
        FeatureNetwork([64], 10, "points")
    with pytest.raises(ValueError, match="images are 8x6 and have no labels"):
        train_features(torch.rand(9, 1, 8, 6), data="any")
    with pytest.raises(ValueError, match=r"labels have shape \[5\] for 9 images"):
        train_features(torch.rand(9, 1, 8, 8), torch.zeros(5).long(), data="any")
    with pytest.raises(ValueError, match="takes images of shape"):
        ImageJudge(FeatureNetwork([1, 4, 4], 10, "small"), torch.rand(9, 1, 8, 8), torch.rand(9, 1, 8, 8))


def test_inception_says_what_to_install(monkeypatch):
    monkeypatch.setattr("torchmetrics.image.fid._TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(ModuleNotFoundError, match="pip install torch-fidelity; or use features: train"):
        InceptionFeatures()


def test_inception_without_its_weights_says_so(monkeypatch):
    def unreachable(*_):
        raise OSError("no route to host")

    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", unreachable)
    with pytest.raises(ValueError, match=r"weights of inception cannot be fetched \(no route to host\)"):
        InceptionFeatures()


@pytest.mark.long
def test_a_perfect_sampler_scores_the_floor_and_a_poor_one_does_not():
    """Digits held out twice over: one half plays the sampler. Noise and copies of one class are told."""
    (train, val, test), labels = digits()
    network = train_features(train, labels.train, data="digits", num_steps=150)
    judge = ImageJudge(network, train, val, labels.val)
    found = judge.judge({"perfect": test, "noise": torch.rand(200, 1, 8, 8), "eights": train[labels.train == 8]})
    name = f"frechet_{network.name}"
    assert found[f"{name}/perfect"] == pytest.approx(found[f"{name}/held_out"], rel=0.5)
    assert found[f"{name}/noise"] > 5 * found[f"{name}/held_out"]
    assert abs(found["mmd/perfect"]) < 4 * found["mmd_stderr/perfect"]
    for poor in ("noise", "eights"):
        assert found[f"mmd/{poor}"] > 10 * found[f"mmd_stderr/{poor}"]
    assert found["nearest_median/eights"] == 0
    assert found["least_class_share/eights"] < 0.01 < 0.05 < found["least_class_share/perfect"]
    assert found["confidence_ratio/held_out"] == 1
    assert found["accuracy"] > 0.9


def test_groups_take_the_bias_of_counts_from_the_frechet_distance():
    """1,200 fresh digits' worth of draws are compared in groups of the 100 held out, with an error."""
    (train, val, test), labels = digits()
    network = train_features(train, labels.train, data="digits", num_steps=60)
    judge = ImageJudge(network, train, val[:100], labels.val[:100])
    found = judge.measure(torch.cat([test, val[100:]]))
    each = [frechet_distance(network(train), network(part)) for part in torch.cat([test, val[100:]]).split(100)]
    assert found[f"frechet_{network.name}"] == pytest.approx(torch.stack(each).mean().item(), rel=1e-4)
    assert found[f"frechet_{network.name}_stderr"] > 0


def test_the_heuristic_width_is_a_median():
    assert median_distance(torch.tensor([[0.0], [1.0], [3.0]])) == 2
