"""Dequantised images: exact log-determinants, one number of bits per dimension for one density, noise, resizing."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import AffineTransform, Beta, SigmoidTransform, TransformedDistribution

from lightning_irl.datamodules.dequantised import DequantisedImages, SeededNoise, image_event, resized, serve
from lightning_irl.datamodules.images import convert
from lightning_irl.metrics import BitsPerDim

SERVINGS = [("scale", 0.0), ("logit", 0.0), ("logit", 1e-6), ("logit", 0.05)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("transform", "alpha"), SERVINGS)
def test_log_det_is_the_jacobians(transform, alpha):
    """log |d served / d raw|, raw in [0, 256), against autograd; in double precision."""
    raw = 256 * (1e-3 + 0.998 * torch.rand(3, 3, 2, 2, dtype=torch.float64, generator=generator()))
    batch = serve(raw / 256, 256, transform, alpha)

    def served(flat):
        return serve(flat.view(1, 3, 2, 2) / 256, 256, transform, alpha).samples.flatten()

    for image, log_det in zip(raw, batch.log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(served, image.flatten())
        torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_the_logit_is_exact_up_to_the_edges(alpha):
    """In single precision too, where 1 - x of an x near 1 has lost its digits."""
    unit = torch.tensor([0.0, 1e-7, 1e-3, 0.5, 1 - 2**-24, 1.0], dtype=torch.float32).view(-1, 1, 1, 1)
    single, double = (serve(values, 256, "logit", alpha) for values in (unit, unit.double()))
    inside = alpha + (1 - 2 * alpha) * unit.double()
    torch.testing.assert_close(double.samples, torch.logit(inside))
    torch.testing.assert_close(single.samples.double(), double.samples, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(single.log_det.double(), double.log_det, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.05])
def test_one_density_has_the_same_bits_per_dimension_under_both_transforms(alpha):
    """Of a Beta density of grey levels, whose density as logits is torch.distributions'."""
    density = Beta(torch.tensor(2.0, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64))
    logits = TransformedDistribution(density, [AffineTransform(alpha, 1 - 2 * alpha), SigmoidTransform().inv])
    unit = 1e-4 + 0.999 * torch.rand(50, 3, 4, 4, dtype=torch.float64, generator=generator())
    bits = {}
    for transform, served_density in (("scale", density), ("logit", logits)):
        samples, log_det = serve(unit, 256, transform, alpha)
        metric = BitsPerDim(48)
        metric.update(log_prob=served_density.log_prob(samples).flatten(1).sum(-1), log_det=log_det)
        bits[transform] = metric.compute()
    torch.testing.assert_close(bits["scale"], bits["logit"])
    raw = -(density.log_prob(unit) - math.log(256)).mean() / math.log(2)  # its definition, of raw = 256 x
    torch.testing.assert_close(bits["scale"].double(), raw, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("transform", "alpha"), SERVINGS)
def test_the_event_has_the_moments_of_what_is_served(transform, alpha):
    levels = torch.randint(256, (40, 1, 8, 8), generator=generator()).to(torch.uint8)
    event = image_event(levels, 256, transform, alpha)
    served = serve((levels.double() + 0.5) / 256, 256, transform, alpha).samples
    assert event["location"] == pytest.approx([served.mean().item()], rel=1e-5)
    assert event["scale"] == pytest.approx([served.std().item()], rel=1e-5)
    assert event["support"] == ("box" if transform == "scale" else "real")


def test_seeded_noise_is_uniform_and_a_function_of_the_image():
    noise = SeededNoise((1, 28, 28), seed=3, stream=1)
    first = noise[list(range(200))]
    assert first.shape == (200, 1, 28, 28)
    assert first.dtype == torch.float32
    assert 0 <= first.min() < first.max() < 1
    standard_error = 1 / math.sqrt(12 * first.numel())
    assert first.mean().item() == pytest.approx(0.5, abs=4 * standard_error)
    # The variance of (u - 1/2)^2 is 1/180.
    assert first.var().item() == pytest.approx(1 / 12, abs=4 / math.sqrt(180 * first.numel()))
    assert torch.equal(noise[[7, 3, 7]], first[[7, 3, 7]])
    flat = first.flatten(1)[:50] - 0.5
    correlation = (12 * flat @ flat.T / flat.shape[1]).fill_diagonal_(0)
    assert correlation.abs().max() < 5 / math.sqrt(flat.shape[1])  # 1,225 pairs, within 5 standard errors
    for other in (SeededNoise((1, 28, 28), seed=4, stream=1), SeededNoise((1, 28, 28), seed=3, stream=2)):
        assert not torch.equal(other[[0]], noise[[0]])


def test_seeded_noise_is_the_same_on_every_machine():
    """A checksum: results depend on it."""
    noise = SeededNoise((4,), seed=0, stream=1)[[0]]
    assert (noise * 2**24).long().tolist() == [[13645816, 12605249, 11268401, 8105475]]


def test_noise_is_fresh_without_any_given_and_covered_by_the_generators_state():
    data = DequantisedImages(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), 256, "scale")
    state = torch.get_rng_state()
    first, second = (data.__getitems__([0, 1]).samples for _ in range(2))
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(data.__getitems__([0, 1]).samples, first)
    assert first.max() < 1 / 256


def photograph(height, width, seed=0):
    """Smooth and noisy parts, in colour."""
    rng = np.random.default_rng(seed)
    wave = 127 + 90 * np.sin(np.arange(height)[:, None, None] / 3 + np.arange(width)[None, :, None] / 5 + np.arange(3))
    return np.clip(wave + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [7, 16, 40])
def test_resizing_is_pillows_antialiased_bilinear(size):
    """Up to the rounding of two passes, of the central square."""
    image = photograph(32, 28)
    ours = resized(torch.from_numpy(image).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0)
    theirs = np.asarray(
        Image.fromarray(image).crop((0, 2, 28, 30)).resize((size, size), Image.Resampling.BILINEAR)
    ).astype(int)
    assert np.abs(ours.numpy().astype(int) - theirs).max() <= 1


def test_grey_is_pillows():
    image = photograph(20, 20)
    ours = convert(torch.from_numpy(image).permute(2, 0, 1)[None], None, grey=True)[0, 0]
    assert np.array_equal(ours.numpy(), np.asarray(Image.fromarray(image).convert("L")))


def test_colour_of_grey_images_is_three_equal_channels():
    levels = torch.randint(256, (2, 1, 4, 4), generator=generator()).to(torch.uint8)
    assert torch.equal(convert(levels, None, grey=False), levels.expand(2, 3, 4, 4))
