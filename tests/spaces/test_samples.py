"""Samples are a tensor, a trajectory or a named tuple of a user's own; everything in spaces/samples.py takes each."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_irl.command.runs import save_predictions
from lightning_irl.samplers import GaussianSampler
from lightning_irl.spaces import make_event
from lightning_irl.spaces.samples import (
    as_tensor,
    count,
    device_of,
    doubled,
    each,
    fields_of,
    finiteness,
    join,
    parts_of,
    pieces,
    plain,
    restored,
    select,
    to,
)
from lightning_irl.spaces.trajectory import Trajectory, as_trajectory
from lightning_irl.views.finite import FiniteMonitor, NonFiniteError
from lightning_irl.views.fusion import Fusion


class Pair(NamedTuple):
    """What a test or a user may have: an image and what is known of it."""

    image: Tensor
    label: Tensor


def a_tensor(num):
    return torch.randn(num, 2)


def a_trajectory(num):
    steps = torch.ones(num, 3, dtype=torch.bool)
    return Trajectory(torch.randn(num, 4, 2), torch.randn(num, 3, 1), steps, ~steps[:, 0], torch.zeros(num).long())


def a_pair(num):
    return Pair(torch.randn(num, 1, 4, 4), torch.arange(num))


KINDS = [a_tensor, a_trajectory, a_pair]
every_kind = pytest.mark.parametrize("made", KINDS)


def same(first, second):
    assert type(first) is type(second)
    assert all(torch.equal(*both) for both in zip(parts_of(first), parts_of(second), strict=True))


@every_kind
def test_what_is_taken_apart_is_put_together_the_same(made):
    whole = made(7)
    assert count(whole) == 7
    same(join(list(pieces(whole, 3))), whole)
    same(join([select(whole, slice(4)), select(whole, torch.arange(4, 7))]), whole)
    same(select(whole, torch.arange(7) < 2), select(whole, torch.tensor([0, 1])))
    same(each(lambda part: part.flip(0), select(whole, torch.arange(6, -1, -1))), whole)


@every_kind
def test_devices_and_precision_are_those_of_every_part(made):
    assert all(part.device.type == "meta" for part in parts_of(to(made(2), "meta")))
    assert device_of(to(made(2), "meta")).type == "meta"
    twice = doubled(made(2))
    assert type(twice) is type(made(2))
    assert {part.dtype for part in parts_of(twice)} <= {torch.float64, torch.int64, torch.bool}


@every_kind
def test_a_checkpoint_holds_plain_tensors_and_gives_back_the_same(made, tmp_path):
    """The saved form is that of earlier versions: a tensor, or a tuple of tensors that weights_only loads."""
    whole = made(3)
    torch.save({"samples": plain(whole)}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)["samples"]
    assert type(saved) is (Tensor if isinstance(whole, Tensor) else tuple)
    same(restored(saved, made(1)), whole)
    same(restored(whole, made(1)), whole)


@every_kind
def test_fields_have_names(made):
    named = fields_of(made(3))
    assert list(named) == list(getattr(made(3), "_fields", ["samples"]))
    assert all(len(part) == 3 for part in named.values())


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_only_samples_of_one_type_are_joined(first, second):
    """Parts of another type were left out in silence."""
    if first is second:
        return
    with pytest.raises(ValueError, match=r"samples of one type can be joined, not (tensor|Trajectory|Pair) and"):
        join([first(2), second(2)])
    with pytest.raises(ValueError, match="saved samples are"):
        restored(plain(first(2)), second(2))


def test_nothing_and_what_is_no_sample_are_refused_by_name():
    with pytest.raises(ValueError, match="not nothing"):
        join([])
    with pytest.raises(TypeError, match="a tensor or a NamedTuple of tensors, batch first, not a list"):
        count([torch.zeros(2)])
    with pytest.raises(TypeError, match="not a dict"):
        each(torch.neg, {"x": torch.zeros(2)})
    with pytest.raises(TypeError, match="the chains take samples that are a tensor, not a Pair"):
        as_tensor(a_pair(1), "the chains take")
    with pytest.raises(TypeError, match="PPO learns from a Trajectory, not Pair"):
        as_trajectory(a_pair(1), "PPO learns from")
    whole, one = a_tensor(2), a_trajectory(2)
    assert as_tensor(whole, "the chains take") is whole
    assert as_trajectory(one, "PPO learns from") is one


@every_kind
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_found_in_every_kind(made, value):
    monitor = FiniteMonitor(["draws"])
    monitor.watch_draws(made(3), 4)
    monitor.check()
    bad = made(3)
    parts_of(bad)[0][1, ..., -1] = value
    assert not torch.isfinite(finiteness(bad).value).all()
    monitor.watch_draws(bad, 5)
    where = r" \(the observation at step 0 of episode 1\)" if made is a_trajectory else ""
    with pytest.raises(NonFiniteError, match=f"draws was not finite at batch 5{where};"):
        monitor.check()


@every_kind
def test_kept_rounds_are_of_the_type_drawn(made):
    """Draws of earlier rounds that a checkpoint held were taken for trajectories if they were no tensor."""
    sampler = GaussianSampler(make_event("point", [2]))
    before, after, now, kept = Fusion(2), Fusion(2), made(2), made(3)
    before.add(sampler, kept)
    after.restore(before.state(), sampler)
    for fusion in (before, after):
        same(fusion.pool(now), join([kept, now]))
    same(after.state()[0][1], plain(kept))


class Run:
    """What of a trainer is asked where predictions are saved."""

    global_rank, world_size = 0, 1

    def __init__(self, folder):
        self.default_root_dir = str(folder)


@every_kind
def test_predictions_hold_every_field_by_its_name(made, tmp_path):
    parts = [made(2), made(1)]
    path = save_predictions([{"samples": part, "energy": torch.zeros(count(part))} for part in parts], Run(tmp_path))
    expected = fields_of(join(parts)) | {"energy": torch.zeros(3)}
    with np.load(path, allow_pickle=False) as found:
        assert set(found) == set(expected)
        assert all(np.array_equal(found[name], part.numpy()) for name, part in expected.items())
