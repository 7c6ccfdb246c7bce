"""What a space answers, for every kind of event."""

import dataclasses
import math

import pytest
import torch

from lightning_irl.mcmc import Chains
from lightning_irl.partition.methods import DEFAULT_METHODS, applicable, estimators_of, left_out
from lightning_irl.spaces import event as event_module
from lightning_irl.spaces import make_event, make_trajectory_event, questions, space_of
from lightning_irl.spaces.lattice import Lattice
from lightning_irl.spaces.space import image_space, trajectory_space
from lightning_irl.spaces.support import BoxSupport, RealSupport

BOX = {"support": "box", "low": -1, "high": 3}
COUNTED = {**BOX, "base_measure": "counting", "levels": 4}
EVENTS = {
    "line": make_event("point", [1]),
    "plane": make_event("point", [2], location=[1, -2], scale=[0.5, 2]),
    "plane on a box": make_event("point", [2], **BOX),
    "points": make_event("point", [8]),
    "counted points": make_event("point", [10], **COUNTED),
    "image": make_event("image", [1, 4, 4], **BOX),
    "image without channels": make_event("image", [4, 4]),
    "counted image": make_event("image", [1, 4, 4], **COUNTED),
    "discrete actions": make_trajectory_event(2, [3], num_actions=2, absorbing=True),
    "bounded actions": make_trajectory_event(6, [3], action_shape=[2], action_low=[-1, -1], action_high=[1, 2]),
    "free actions": make_trajectory_event(6, [3, 2], action_shape=[1]),
}
FEW = ["importance", "discriminator", "mixture"]
CHAINS = ["annealed_broad", "annealed", "bridge"]
# figure, counted, chains, few enough for a grid, estimates, words
ANSWERS = {
    "line": (None, False, True, True, ["quadrature", *CHAINS, *FEW], "points"),
    "plane": ("plane", False, True, True, ["quadrature", *CHAINS, *FEW], "points"),
    "plane on a box": ("plane", False, True, True, ["quadrature", *CHAINS, *FEW], "points"),
    "points": (None, False, True, False, [*CHAINS, *FEW], "points"),
    "counted points": (None, True, False, True, ["quadrature", *FEW], "discrete levels"),
    "image": ("grid", False, True, False, [*CHAINS, *FEW], "images"),
    "image without channels": (None, False, True, False, [*CHAINS, *FEW], "images"),
    "counted image": ("grid", True, False, False, FEW, "discrete levels"),
    "discrete actions": ("rollouts", False, False, False, FEW, "trajectories"),
    "bounded actions": ("rollouts", False, False, False, FEW, "trajectories"),
    "free actions": ("rollouts", False, False, False, FEW, "trajectories"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_every_kind_answers_for_itself(name):
    event = EVENTS[name]
    space = space_of(event)
    figure, is_counted, takes_chains, is_grid_sized, estimates, words = ANSWERS[name]
    assert space.figure == figure
    assert (space.is_counted, space.takes_chains, space.is_grid_sized) == (is_counted, takes_chains, is_grid_sized)
    assert [estimator.name for estimator in applicable(estimators_of(DEFAULT_METHODS), event)] == estimates
    assert space.words == words
    assert (space.kind, list(space.shape), space.base_measure) == tuple(
        event[field] for field in ("kind", "shape", "base_measure")
    )
    assert space.dimension == math.prod(event["shape"]) == len(space.location) == len(space.scale)
    assert isinstance(space.lattice, Lattice) == is_counted
    assert isinstance(space.support, BoxSupport if space.edges else RealSupport)
    assert space.has_steps == (event["kind"] == "trajectory")
    with pytest.raises(dataclasses.FrozenInstanceError):
        space.shape = (3,)


@pytest.mark.parametrize("name", EVENTS)
def test_chains_start_where_a_space_takes_them(name):
    if space_of(EVENTS[name]).takes_chains:
        Chains(EVENTS[name])
    else:
        with pytest.raises(ValueError, match=r"a chain is for continuous samples|chains move on points and images"):
            Chains(EVENTS[name])


def test_what_is_left_out_is_said_in_the_words_of_the_space():
    (line,) = left_out(["annealed", "importance"], EVENTS["counted image"])
    assert line == "annealed is left out, since it does not apply to discrete levels"
    lines = list(left_out(["quadrature", "bridge"], EVENTS["free actions"]))
    assert lines == [
        f"{name} is left out, since it does not apply to trajectories" for name in ("quadrature", "bridge")
    ]


def test_edges_extents_and_what_is_inside():
    plane, box = space_of(EVENTS["plane"]), space_of(EVENTS["plane on a box"])
    assert (plane.edges, box.edges) == (None, (-1.0, 3.0))
    assert plane.extent(2) == [(0.0, 2.0), (-6.0, 2.0)]
    assert box.extent(2) == [(-1.0, 3.0)] * 2
    assert plane.square(2) == (-4.5, 3.5)
    assert box.square(2) == (-1.0, 3.0)
    assert space_of(EVENTS["points"]).extent(1) == [(-1.0, 1.0)] * 8  # one value stands for every coordinate
    values = torch.tensor([-5.0, 0.0, 3.0])
    assert torch.equal(plane.inside(values), values)
    torch.testing.assert_close(box.inside(values), torch.tensor([-0.96, 0.0, 2.96]))


def test_tables_show_points_and_nothing_else():
    points = torch.arange(6.0).view(3, 2)
    assert list(space_of(EVENTS["plane"]).columns(points)) == ["x0", "x1"]
    assert torch.equal(space_of(EVENTS["plane"]).columns(points)["x1"], points[:, 1])
    assert space_of(EVENTS["image"]).columns(torch.zeros(3, 1, 4, 4)) == {}


def test_actions_answer_for_their_bounds_and_their_mass():
    discrete, bounded, free = (
        space_of(EVENTS[name]).actions for name in ("discrete actions", "bounded actions", "free actions")
    )
    assert (discrete.number, bounded.number, free.number) == (2, 0, 0)
    assert (discrete.size, bounded.size, free.size) == (1, 2, 1)
    assert (discrete.has_bounds, bounded.has_bounds, free.has_bounds) == (False, True, False)
    assert (discrete.has_uniform, bounded.has_uniform, free.has_uniform) == (True, True, False)
    assert (discrete.is_clipped, bounded.is_clipped, free.is_clipped) == (False, True, False)
    assert discrete.log_mass == math.log(2)
    assert bounded.log_mass == math.log(2 + 2) + math.log(3 + 2)  # the range, and an atom at each bound
    assert free.log_mass == math.inf
    assert space_of(EVENTS["discrete actions"]).is_absorbing
    assert space_of(EVENTS["free actions"]).observation_size == 6


def test_what_needs_a_kind_says_so():
    with pytest.raises(ValueError, match="the policy acts, but the data is of kind point; use another"):
        trajectory_space(EVENTS["plane"], "the policy acts, but the data", "use another")
    with pytest.raises(ValueError, match=r"the grid is of images, but the data is of kind trajectory$"):
        image_space(EVENTS["free actions"], "the grid is of images, but the data")
    with pytest.raises(ValueError, match="event kind is 'sound'; allowed: point, image, trajectory"):
        space_of({**EVENTS["plane"], "kind": "sound"})


def test_functions_from_before_there_were_spaces_still_answer():
    """A user's own component may import them from where they were."""
    for name in questions.__all__:
        assert getattr(event_module, name) is getattr(questions, name)
    counted, clipped = EVENTS["counted image"], EVENTS["bounded actions"]
    assert event_module.is_counted(counted)
    assert event_module.dimension(counted) == 16
    assert event_module.has_bounds(clipped)
    assert event_module.log_action_mass(clipped) == space_of(clipped).actions.log_mass
    assert torch.equal(event_module.per_coordinate([2.0], counted), torch.full((16,), 2.0))
    assert torch.equal(event_module.per_observation([2.0], clipped), torch.full((3,), 2.0))
    assert torch.equal(event_module.grey_levels(torch.tensor([-1.0, 1.0, 3.0]), counted), torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(event_module.action_units(clipped, 2).reach, torch.tensor([1.0, 1.5]))
    with pytest.raises(ValueError, match="a flow is for continuous samples, and the event counts 4 levels"):
        event_module.require_continuous(counted, "a flow")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        event_module.nothing  # noqa: B018
