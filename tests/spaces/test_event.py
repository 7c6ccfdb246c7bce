"""Events of discrete levels, and the lattice that their samples lie on."""

import pytest
import torch

from lightning_irl.spaces.event import is_counted, make_event, make_trajectory_event, validate_event
from lightning_irl.spaces.lattice import Lattice

counting = {"support": "box", "base_measure": "counting"}


@pytest.mark.parametrize("kind", ["image", "point"])
def test_levels_are_a_field_of_counted_events_alone(kind):
    event = make_event(kind, [1, 2, 2], levels=5, **counting)
    assert event["levels"] == 5
    assert is_counted(event)
    continuous = make_event(kind, [1, 2, 2], support="box")
    assert "levels" not in continuous
    assert not is_counted(continuous)
    assert not is_counted(make_trajectory_event(5, [4], num_actions=2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (counting, "event counts images and its levels is None; give the number of values .* at least 2"),
        ({**counting, "levels": 1}, "its levels is 1; give the number"),
        ({**counting, "levels": 2.5}, "its levels is 2.5; give the number"),
        ({"base_measure": "counting", "levels": 4}, "event counts levels on support 'real'.*support=box"),
        ({"levels": 4}, "event has 4 levels, kind image and base measure lebesgue; only points and images"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make_event("image", [1, 2, 2], **options)


def test_trajectories_have_no_levels():
    with pytest.raises(ValueError, match="event has 3 levels, kind trajectory and base measure counting"):
        validate_event(make_trajectory_event(5, [4], num_actions=2) | {"levels": 3})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_to_samples_and_back(dtype):
    lattice = Lattice(make_event("image", [1, 16, 16], levels=256, low=-2.0, high=6.0, **counting))
    levels = torch.arange(256).view(1, 1, 16, 16)
    samples = lattice.to_samples(levels, dtype)
    torch.testing.assert_close(samples.flatten(), -2 + 8 * (torch.arange(256, dtype=dtype) + 0.5) / 256)
    back, is_on_lattice = lattice.to_levels(samples)
    assert torch.equal(back, levels)
    assert is_on_lattice.all()


def test_states_are_all_there_is_in_order_however_cut():
    lattice = Lattice(make_event("image", [1, 2, 2], levels=3, **counting))
    parts = list(lattice.states(7))
    assert [len(part) for part in parts] == [7] * 11 + [4]
    whole = torch.cat(parts)
    assert torch.equal(whole, torch.cat(list(lattice.states(1000))))
    assert whole[[0, 1, 3, 80]].flatten(1).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [2, 2, 2, 2]]
