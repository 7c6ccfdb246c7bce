"""Measures of imitation against what is known of them: invariances, closed forms, bounds."""

import math

import pytest
import torch

from lightning_irl.metrics.imitation import (
    correlation,
    epic_distance,
    feature_gap,
    normalised_return,
    transitions_of,
    visitation_distance,
)
from lightning_irl.spaces.trajectory import Trajectory


def steps(num=400, seed=0, actions=None):
    generator = torch.Generator().manual_seed(seed)
    ones = torch.ones(num, 1, dtype=torch.bool)
    zeros = torch.zeros(num, dtype=torch.long)
    draw = {"generator": generator, "dtype": torch.float64}
    chosen = torch.randn(num, 1, 2, **draw) if actions is None else actions
    return Trajectory(torch.randn(num, 2, 3, **draw), chosen, ones, ~ones[:, 0], zeros)


def reward(part):
    here, action, there = part.observations[:, 0], part.actions[:, 0], part.observations[:, 1]
    return here[:, 0] * action[:, 0] + (there[:, 1] + here[:, 2]).sin()


def potential(observation):
    return 3 * observation[:, 0].square() + (2 * observation[:, 1]).cos()


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_epic_does_not_see_shaping_shift_and_scale(discount):
    def shaped(part):
        shaping = discount * potential(part.observations[:, 1]) - potential(part.observations[:, 0])
        return 5 * reward(part) + shaping - 7

    torch.manual_seed(0)
    assert epic_distance(reward, shaped, steps(), discount) < 1e-6
    other_discount = 1.9 - discount
    assert epic_distance(reward, shaped, steps(), other_discount) > 0.01


def test_epic_of_opposite_and_of_unrelated_rewards():
    torch.manual_seed(0)
    assert epic_distance(reward, lambda part: -reward(part), steps()) == pytest.approx(1.0, abs=1e-9)
    # rewards of the action alone are canonical up to a constant: of independent coordinates their correlation is 0 +-
    # 1/sqrt(num)
    num = 400
    first, second = (lambda part, i=i: part.actions[:, 0, i] for i in (0, 1))
    distance = float(epic_distance(first, second, steps(4000), num=num))
    assert abs(1 - 2 * distance**2) < 4 / math.sqrt(num)


def test_epic_of_a_known_mixture():
    """Rewards a_0 and a_0 + a_1 of independent unit actions: correlation 1/sqrt(2)."""
    torch.manual_seed(0)
    num = 1500
    distance = epic_distance(lambda p: p.actions[:, 0, 0], lambda p: p.actions[:, 0].sum(-1), steps(20_000), num=num)
    expected = math.sqrt(0.5)
    assert abs(float(1 - 2 * distance**2) - expected) < 4 * (1 - expected**2) / math.sqrt(num)


def test_correlation():
    values = torch.arange(10.0)
    assert correlation(values, 3 - 2 * values) == pytest.approx(-1.0)
    assert correlation(values, torch.ones(10)) == 0


def test_normalised_return():
    assert normalised_return(-500.0, -500.0, -100.0) == 0
    assert normalised_return(-100.0, -500.0, -100.0) == 1


def test_the_gap_is_in_standard_deviations_and_names_the_feature():
    ones = torch.ones(50, 1, dtype=torch.bool)
    spread = torch.linspace(-1, 1, 50).view(50, 1, 1)
    zeros = torch.zeros(50, dtype=torch.long)

    def of(action):
        return Trajectory(torch.zeros(50, 2, 1), action, ones, ~ones[:, 0], zeros)

    gap = feature_gap(of(spread), of(spread + 1), num_actions=0)
    both = torch.cat([spread, spread + 1])
    assert gap.name == "action 0"
    assert gap.gap == pytest.approx(float(1 / both.std()), rel=1e-5)
    assert gap.noise == pytest.approx(2 * math.sqrt(2 / 50))
    assert feature_gap(of(spread), of(spread), num_actions=0).gap == 0


def test_transitions_leave_out_what_comes_after_the_end():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    whole = Trajectory(
        torch.randn(2, 4, 1), torch.arange(6).view(2, 3), mask, ~mask[:, -1], torch.zeros(2, dtype=torch.long)
    )
    assert transitions_of(whole).actions.flatten().tolist() == [0, 1, 3, 4, 5]


def test_visitation_distance_is_the_total_variation():
    """Known shares of the four corners, whatever the numbers of states, in either order; a
    coordinate may be constant.
    """
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    first, second = corners[[0, 0, 1, 2]], corners[[0, 1, 1, 1, 3, 3, 3, 3]]
    assert visitation_distance(first, second).item() == pytest.approx((3 / 8 + 1 / 8 + 1 / 4 + 1 / 2) / 2)
    assert visitation_distance(second, first).item() == visitation_distance(first, second).item()
    assert visitation_distance(first, first.repeat(3, 1)).item() == 0
    assert visitation_distance(first, first + 5).item() == 1
    assert visitation_distance(corners[[0, 2]], corners[[2]]).item() == 0.5


def test_visitation_distance_of_two_uniform_squares_is_what_they_do_not_share():
    """[0, 2] x [0, 1] against [1, 3] x [0, 1]: half. 100,000 states in 144 cells: off by chance by some sqrt(144 / 1e5)
    = 0.04 at most.
    """
    torch.manual_seed(0)
    first, second = (torch.rand(100_000, 2) * torch.tensor([2.0, 1.0]) for _ in range(2))
    assert visitation_distance(first, second + torch.tensor([1.0, 0.0])).item() == pytest.approx(0.5, abs=0.04)
