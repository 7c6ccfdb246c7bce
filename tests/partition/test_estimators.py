"""The contract of an estimator, and estimators of one's own."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from lightning_irl.callbacks import LogPartition
from lightning_irl.partition import Budget, Estimator, Problem, estimate_all, estimate_within
from lightning_irl.partition.estimators import ESTIMATORS, Annealed
from lightning_irl.partition.importance import summarise_importance
from lightning_irl.partition.methods import METHODS, estimators_of, left_out
from lightning_irl.samplers import BroadSampler
from lightning_irl.spaces.event import make_event, make_trajectory_event

EXAMPLE = re.search(
    r"<!-- the test of this example.*?```python\n(.*?)```",
    (Path(__file__).parents[2] / "docs" / "partition.md").read_text(),
    re.DOTALL,
)[1]
SMALL = {"num_samples": 400, "num_chains": 32, "num_temperatures": 20, "leapfrog_steps": 2}


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The import path of the example in docs/partition.md."""
    (tmp_path / "mine_estimator.py").write_text(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    return "mine_estimator.ImportanceBroad"


class Wide(Annealed):
    name = "annealed_wide"
    looks_beyond_sampler = True

    def __init__(self, width=4.0):
        self.width = width

    def start(self, problem, budget):
        return BroadSampler(problem.event, width=self.width)


def test_the_docs_example_finds_a_mode_that_the_sampler_misses(example, missed_mode):
    assert len(EXAMPLE.splitlines()) <= 30
    known = missed_mode(1)
    torch.manual_seed(1)
    found = estimate_all(known.cost, known.sampler, methods=["importance", example])
    importance, own = found
    assert own.method == "importance_broad"
    assert own.reliable
    assert abs(own.log_z - known.log_z) < 4 * own.stderr
    assert not importance.reliable
    assert "importance_broad says" in importance.reason


def test_the_numbers_of_shipped_estimators_do_not_depend_on_ones_own(example, skew_normal):
    known = skew_normal(2)
    methods = ["annealed_broad", "annealed", "bridge", "importance"]
    values = []
    for more in ([], [example, Wide(6.0)]):
        torch.manual_seed(0)
        found = estimate_all(known.cost, known.sampler, **SMALL, methods=[*more, *methods])
        values.append([(one.method, one.log_z, one.stderr) for one in found])
    assert values[1][:4] == values[0]
    assert [one[0] for one in values[1][4:]] == ["importance_broad", "annealed_wide"]


def test_a_class_an_instance_and_a_path_mean_the_same(example):
    wide = Wide(2.0)
    assert estimators_of([wide]) == [wide]
    assert estimators_of([Wide])[0].width == 4.0
    assert [one.name for one in estimators_of([example, "bridge", "bridge"])] == ["importance_broad", "bridge"]


def test_every_shipped_estimator_names_its_estimates(skew_normal):
    known = skew_normal(1)
    problem = Problem(known.cost, known.sampler, demonstrations=torch.randn(40, 1), budget=Budget(**SMALL))
    assert tuple(ESTIMATORS) == METHODS
    for name, estimator in ESTIMATORS.items():
        assert set(estimator.follows) <= set(METHODS[: METHODS.index(name)])  # comes after what it uses
        found = estimator.estimate(problem, problem.budget)
        assert (found.method, found.certifies) == (name, estimator.certifies)
        assert not estimator.unsuited(known.event)
    episodes = make_trajectory_event(5, [2], num_actions=2)
    counted = make_event("point", [30], support="box", base_measure="counting", levels=5)
    everywhere = {"importance", "discriminator", "mixture"}
    for event in (episodes, counted):
        assert {name for name, one in ESTIMATORS.items() if not one.unsuited(event)} == everywhere


def test_what_is_shared_is_made_once(skew_normal, monkeypatch):
    known = skew_normal(1)
    problem = Problem(known.cost, known.sampler, budget=Budget(**SMALL))
    ESTIMATORS["annealed"].estimate(problem, problem.budget)
    assert problem.at_model is problem.at_model
    assert problem.log_weights is problem.log_weights
    assert problem.trusted_run is problem.runs["annealed"]


def test_a_budget_is_the_same_arguments(skew_normal):
    known = skew_normal(1)
    methods = ["importance", "annealed"]
    torch.manual_seed(0)
    expected = estimate_all(known.cost, known.sampler, **SMALL, repetitions=2, methods=methods)
    torch.manual_seed(0)
    budget = Budget(**SMALL, repetitions=2)
    assert repr(estimate_within(budget, known.cost, known.sampler, methods=methods)) == repr(expected)
    for name in ("num_samples", "batch_size", "repetitions"):
        with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
            Budget(**{name: 0})


class Nameless(Estimator):
    def estimate(self, problem, budget):
        return summarise_importance(problem.log_weights)


class Taken(Nameless):
    name = "importance"


class Unsaid(Nameless):
    name = "unsaid"


class Number(Nameless):
    name = "number"

    def estimate(self, problem, budget):
        return math.pi


class Needy(Nameless):
    name = "needy"

    def __init__(self, size):
        self.size = size


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("nowhere.Bound", r"\['nowhere.Bound'\], which cannot be imported: No module named 'nowhere'"),
        ("lightning_irl.partition.Bound", "cannot be imported: .* has no attribute 'Bound'"),
        ("lightning_irl.partition.pool", r"methods has <function pool .*; give one of quadrature, .*or an Estimator"),
        (3, "methods has 3; give one of"),
        (Estimator, "Estimator.* cannot be made without arguments: .*abstract"),
        (Needy, "Needy.* cannot be made without arguments: .*'size'"),
        (Nameless, "estimator Nameless has the name None; give it one of letters"),
        (Taken, "estimator Taken has the name 'importance', which is taken"),
    ],
)
def test_what_is_no_estimator_is_refused_when_it_is_asked_for(method, words):
    with pytest.raises(ValueError, match=words):
        LogPartition(methods=["importance", method])


def test_two_of_a_name_are_refused():
    with pytest.raises(ValueError, match="two estimators with the name 'annealed_wide'"):
        LogPartition(methods=[Wide(2.0), Wide(3.0)])


@pytest.mark.parametrize(
    ("method", "words"),
    [(Unsaid, "Unsaid returned an estimate by 'importance'; give method=self.name"), (Number, "returned a float")],
)
def test_an_estimator_that_returns_something_else_is_told(method, words, skew_normal):
    known = skew_normal(1)
    with pytest.raises(ValueError, match=words):
        estimate_all(known.cost, known.sampler, methods=[method], **SMALL)


def test_what_does_not_apply_or_lacks_what_it_follows_is_left_out_and_said(example, skew_normal):
    class After(Unsaid):
        follows = ("annealed",)

    known = skew_normal(1)
    assert estimate_all(known.cost, known.sampler, methods=[After], **SMALL) == []
    assert list(left_out([After], known.event)) == ["unsaid is left out, since it uses their results: add annealed"]
    episodes = make_trajectory_event(5, [2], num_actions=2)
    assert list(left_out([example], episodes)) == [
        "importance_broad is left out, since trajectories have no broad start"
    ]


def test_a_config_names_an_estimator_by_its_path(example):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(LogPartition, "partition")
    for own in (example, {"class_path": example}):
        parsed = parser.parse_object({"partition": {"methods": ["importance", own]}})
        report = parser.instantiate_classes(parsed).partition
        assert [one.name for one in estimators_of(report.methods)] == ["importance", "importance_broad"]
