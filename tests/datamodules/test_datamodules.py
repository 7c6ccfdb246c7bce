"""What serves demonstrations: the order, the digits, arrays of one's own, and what is refused."""

import math

import numpy as np
import pytest
import torch

from lightning_irl.datamodules import ArrayDataModule, DigitsDataModule, MemoryDataModule, ToyDataModule
from lightning_irl.datamodules.dequantised import serve
from lightning_irl.datamodules.digits import LEVELS
from lightning_irl.datamodules.memory import EpochSampler, Splits
from lightning_irl.metrics import BitsPerDim
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.lattice import Lattice

# ---- order


def order(size=10, num=30, seed=0, replicas=1, rank=0, epoch=0):
    sampler = EpochSampler(size, num, 1, seed, replicas, rank)
    sampler.set_epoch(epoch)
    assert len(list(sampler)) == len(sampler)
    return list(sampler)


def test_order_is_a_function_of_seed_and_epoch():
    assert order() == order()
    assert order(seed=1) == order(seed=1)
    assert order(epoch=3) == order(epoch=3)
    assert len({tuple(order(seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}) == 25


def test_order_spends_no_global_randomness():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    order()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("num", [7, 10, 25, 40])
def test_every_sample_once_a_permutation(num):
    tickets = order(num=num)
    assert len(set(tickets)) == num  # none twice, so that what is random in a batch is not either
    served = [ticket % 10 for ticket in tickets]
    for start in range(0, num, 10):
        part = served[start : start + 10]
        assert len(set(part)) == len(part)
        assert set(part) <= set(range(10))
    rounds = [tuple(served[start : start + 10]) for start in range(0, num - num % 10, 10)]
    assert len(set(rounds)) == len(rounds)  # each permutation is another


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_share_one_processs_order(replicas):
    whole = order(size=12, num=36, epoch=2)
    parts = [order(size=12, num=36, replicas=replicas, rank=rank, epoch=2) for rank in range(replicas)]
    assert [index for group in zip(*parts, strict=True) for index in group] == whole


@pytest.mark.parametrize(
    ("batch_size", "shares"), [(5, [2, 2, 1]), (3, [1, 1, 1]), (7, [3, 2, 2]), (2, [2, 2, 2]), (1, [1, 1, 1])]
)
def test_replicas_share_a_batch_of_any_size(batch_size, shares):
    whole = EpochSampler(7, batch_size, 4, seed=0)
    parts = [EpochSampler(7, batch_size, 4, 0, 3, rank) for rank in range(3)]
    assert [part.share for part in parts] == shares
    for number, batch in enumerate(torch.tensor(list(whole)).view(4, batch_size).tolist()):
        seen = [list(part)[number * part.share : (number + 1) * part.share] for part in parts]
        if batch_size < 3:  # every process has all of a batch that is too small to be shared
            assert seen == [batch] * 3
        else:
            assert sorted(ticket for part in seen for ticket in part) == sorted(batch)


def test_loaders_serve_whole_batches_in_that_order():
    data = ToyDataModule("two_moons", train_size=70, val_size=20, test_size=30, batch_size=16, seed=5)
    served = list(data.train_dataloader())
    assert [len(batch.samples) for batch in served] == [16] * 4
    expected = data.splits.train[order(size=70, num=64, seed=5)]
    assert torch.equal(torch.cat([batch.samples for batch in served]), expected)
    assert all(isinstance(batch, Batch) and (batch.log_det == 0).all() for batch in served)
    for name in ("val", "test", "predict"):
        loader = getattr(data, f"{name}_dataloader")()
        part = data.splits.val if name == "val" else data.splits.test
        assert torch.equal(torch.cat([batch.samples for batch in loader]), part)


def test_an_epoch_is_as_long_as_asked():
    data = ToyDataModule("two_moons", train_size=20, val_size=2, test_size=2, batch_size=16, steps_per_epoch=9)
    assert [len(batch.samples) for batch in data.train_dataloader()] == [16] * 9


# ---- digits


@pytest.mark.parametrize("transform", ["scale", "logit", "discrete"])
def test_digits_are_split_once_and_for_all(transform):
    first, other = DigitsDataModule(transform), DigitsDataModule(transform, seed=9)
    assert [len(part) for part in first.splits] == [1397, 200, 200]
    assert [len(part) for part in first.labels] == [1397, 200, 200]
    for mine, theirs in zip(first.splits, other.splits, strict=True):
        assert torch.equal(mine, theirs)
    for labels in first.labels:
        shares = torch.bincount(labels, minlength=10) / len(labels)
        assert ((shares - 0.1).abs() < 0.015).all()  # stratified
    everything = torch.cat(list(first.splits))
    assert everything.unique().tolist() == list(range(LEVELS))
    assert first.event["shape"] == [1, 8, 8]
    assert first.event["support"] == ("real" if transform == "logit" else "box")
    assert first.event["base_measure"] == ("counting" if transform == "discrete" else "lebesgue")


def test_the_split_is_the_one_that_results_were_made_with():
    """A checksum: the same images in the same order, on every machine and with every version of scikit-learn."""
    splits = DigitsDataModule().splits
    weights = torch.arange(1, 201, dtype=torch.float64)
    sums = [int((part[:200].double().flatten(1).sum(1) * weights).sum()) for part in splits]
    assert sums == [6245639, 6266481, 6294594]


@pytest.mark.parametrize("part", ["val", "test"])
def test_noise_is_fixed_by_seed_in_validation_and_test(part):
    def served(seed):
        loader = getattr(DigitsDataModule(seed=seed), f"{part}_dataloader")()
        return torch.cat([batch.samples for batch in loader])

    assert torch.equal(served(0), served(0))
    assert not torch.equal(served(0), served(1))


def test_validation_and_test_have_noise_of_their_own():
    data = DigitsDataModule()
    assert not torch.equal(data.val_set().noise, data.test_set().noise)


def test_noise_is_fresh_in_training():
    data = DigitsDataModule().train_set()
    first, second = data.__getitems__([0, 1]), data.__getitems__([0, 1])
    assert not torch.equal(first.samples, second.samples)
    assert torch.equal((first.samples * LEVELS).floor(), (second.samples * LEVELS).floor())


@pytest.mark.parametrize("transform", ["scale", "logit"])
def test_levels_are_recovered(transform):
    """Dequantisation adds less than a level. In single precision noise within 1e-6 of a level's edge may cross it."""
    data = DigitsDataModule(transform)
    loader = data.test_dataloader()
    served = torch.cat([batch.samples for batch in loader])
    unit = torch.sigmoid(served.double()) if transform == "logit" else served.double()
    edge = 2e-5  # of the logit's clamp, in levels
    recovered = (unit * LEVELS).floor()
    is_inside = ((unit * LEVELS - (unit * LEVELS).round()).abs() > edge).logical_or(recovered == data.splits.test)
    assert is_inside.all()
    assert (recovered == data.splits.test).float().mean() > 1 - 1e-4
    noise = unit * LEVELS - data.splits.test
    assert noise.mean().item() == pytest.approx(
        0.5, abs=4 / math.sqrt(12 * noise.numel())
    )  # uniform; 4 standard errors


def test_discrete_digits_are_their_levels_without_noise_and_without_log_det():
    data = DigitsDataModule("discrete", batch_size=64)
    lattice = Lattice(data.event)
    for name in ("train", "val", "test"):
        batch = next(iter(getattr(data, f"{name}_dataloader")()))
        levels, is_on_lattice = lattice.to_levels(batch.samples)
        assert is_on_lattice.all()
        assert (batch.log_det == 0).all()
        assert torch.equal(batch.samples, lattice.to_samples(levels, torch.float32))
        if name != "train":
            assert torch.equal(levels.float(), getattr(data.splits, name)[:64])
    uniform = math.prod(data.event["shape"]) * math.log(LEVELS)
    bits = BitsPerDim(dimension=64)
    bits.update(-torch.full((64,), uniform), batch.log_det)
    assert bits.compute().item() == pytest.approx(math.log2(LEVELS))


@pytest.mark.parametrize("transform", ["scale", "logit"])
def test_log_det_is_the_jacobians(transform):
    """log |d served / d raw|, raw in grey levels, against autograd; in double precision."""
    raw = LEVELS * (
        0.01 + 0.98 * torch.rand(3, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )
    batch = serve(raw / LEVELS, LEVELS, transform)

    def served(flat):
        return serve(flat.view(1, 1, 2, 3) / LEVELS, LEVELS, transform).samples.flatten()

    for image, log_det in zip(raw, batch.log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(served, image.flatten())
        torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("transform", ["scale", "logit"])
def test_what_is_served_is_finite_and_says_its_log_det(transform):
    for batch in (
        next(iter(DigitsDataModule(transform).train_dataloader())),
        *DigitsDataModule(transform).val_dataloader(),
    ):
        assert batch.samples.shape[1:] == (1, 8, 8)
        assert torch.isfinite(batch.samples).all()
        unit = batch.samples if transform == "scale" else torch.sigmoid(batch.samples)
        torch.testing.assert_close(batch.log_det, serve(unit, LEVELS, transform).log_det, rtol=1e-2, atol=0.5)


def test_bits_per_dimension_of_uniform_noise():
    """A uniform model of the served box is log2 17 bits a pixel: the log_det carries the scaling."""
    batch = next(iter(DigitsDataModule().test_dataloader()))
    bits = -(0 + batch.log_det) / (64 * math.log(2))
    torch.testing.assert_close(bits, torch.full_like(bits, math.log2(17)))


def test_an_unknown_transform_is_refused():
    with pytest.raises(ValueError, match="transform is 'tanh'; allowed: scale, logit, discrete"):
        DigitsDataModule("tanh")


# ---- arrays


POINTS = np.random.default_rng(0).uniform(-1, 3, (200, 2)).astype(np.float32) * [1, 0.5] + [0, 0.5]


def test_an_array_from_a_file_or_from_memory(tmp_path):
    np.save(tmp_path / "points.npy", POINTS)
    data, same = ArrayDataModule(str(tmp_path / "points.npy"), batch_size=32), ArrayDataModule(POINTS, batch_size=32)
    assert data.event == same.event
    assert [len(part) for part in data.splits] == [160, 20, 20]
    together = torch.cat(list(data.splits))
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, POINTS.astype(np.float32).tolist()))
    assert not torch.equal(together, torch.from_numpy(POINTS.astype(np.float32)))  # shuffled
    assert data.event["kind"] == "point"
    assert data.event["support"] == "real"
    torch.testing.assert_close(torch.tensor(data.event["location"]), data.splits.train.mean(0))
    torch.testing.assert_close(torch.tensor(data.event["scale"]), data.splits.train.std(0))


def test_the_split_is_a_function_of_the_seed():
    first, again, other = (ArrayDataModule(POINTS, batch_size=8, seed=seed).splits.train for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_array_on_a_box():
    data = ArrayDataModule(POINTS, low=-1, high=3.0, batch_size=32)
    assert (data.event["support"], data.event["low"], data.event["high"]) == ("box", -1.0, 3.0)
    data = ArrayDataModule(np.abs(POINTS), low=0, high=3.0, batch_size=32)
    assert data.event["low"] == 0.0


def test_images_have_one_location_and_scale():
    data = ArrayDataModule(np.random.default_rng(0).random((50, 3, 4, 4)), batch_size=8, low=0, high=1)
    assert data.event["kind"] == "image"
    assert data.event["shape"] == [3, 4, 4]
    assert [len(data.event[field]) for field in ("location", "scale")] == [1, 1]


def test_integers_and_double_precision_are_served_in_single():
    for dtype in (np.int64, np.float64):
        data = ArrayDataModule((10 * POINTS).astype(dtype), batch_size=8)
        assert next(iter(data.train_dataloader())).samples.dtype == torch.float32


def with_bad(value, rows=(3,)):
    array = POINTS.copy()
    array[list(rows), 0] = value
    return array


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (with_bad(np.nan), {}, "1 of 200 samples hold NaN or Inf"),
        (with_bad(np.inf, (3, 4)), {}, "2 of 200 samples hold NaN or Inf"),
        (POINTS[:, 0], {}, r"samples have shape \[200\]; give \(N, d\) points or \(N, C, H, W\) images"),
        (POINTS, {"low": 0.0}, r"the box is \[0\.0, None\]; give both edges or none"),
        (POINTS, {"low": 0.0, "high": 3.0}, r"samples go from -0\.9\d+ to .*, outside the box \[0\.0, 3\.0\]"),
        (POINTS, {"fractions": (0.5, 0.5)}, r"fractions are \(0\.5, 0\.5\); .* leave some to train"),
        (POINTS, {"fractions": (0.0, 0.5)}, r"fractions are \(0\.0, 0\.5\); .* a share above 0"),
        (with_bad(1.0, range(200)), {}, r"event scale has a value <= 0 .*; a coordinate of the data is constant"),
        (POINTS, {"batch_size": 161}, "batch_size is 161, but there are 160 training demonstrations"),
        (POINTS, {"batch_size": 0}, "batch_size is 0, .* between 1 and that"),
        (np.array([["a", "b"]]), {}, "not a plain .npy array of numbers"),
    ],
)
def test_bad_arrays_are_refused(array, options, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataModule(array, **({"batch_size": 8} | options))


def test_bad_files_are_refused(tmp_path):
    path = tmp_path / "points.npy"
    with pytest.raises(FileNotFoundError, match=r"no file .*points\.npy; give the path of a \.npy file"):
        ArrayDataModule(str(path))
    np.save(path, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"is not a plain \.npy array of numbers: it holds Python objects"):
        ArrayDataModule(str(path))


def test_samples_of_another_shape_than_the_events_are_refused():
    parts = Splits(torch.zeros(9, 2), torch.zeros(3, 3), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"val samples have shape \[3\], the event says \[2\]"):
        MemoryDataModule(make_event("point", [2]), parts, 4)


def test_a_part_with_nan_is_named():
    parts = Splits(torch.zeros(9, 2), torch.zeros(3, 2), torch.full((3, 2), torch.nan))
    with pytest.raises(ValueError, match="3 of 3 demonstrations for test hold NaN or Inf"):
        MemoryDataModule(make_event("point", [2]), parts, 4)
