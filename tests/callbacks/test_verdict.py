"""What the report on imitation concludes, and what it leaves out where a number would have no meaning."""

import math
from types import SimpleNamespace

import pytest
import torch

from lightning_irl.callbacks import LogImitation
from lightning_irl.metrics.imitation import FeatureGap

FAR, NEAR = FeatureGap(3.0, 0.1, "length"), FeatureGap(0.1, 0.1, "length")


def judged(gap, held_out=20, **results):
    report = LogImitation()
    report.num_held_out = held_out
    report.results = {f"imitation/{key}": value for key, value in results.items()}
    return report.judge(gap)


@pytest.mark.parametrize(
    ("gap", "returns", "expected"),
    [
        (NEAR, (-0.41, -0.5), "not converged"),  # three episodes of one step look alike and are worth nothing
        (FAR, (1.0, 1.0), "converged"),  # all of the return, in another way
        (NEAR, (0.2, 0.95), "converged"),  # the mode is good, the policy still explores
        (FAR, (), "not converged"),
        (NEAR, (), "converged"),
    ],
)
def test_the_true_return_decides_where_it_is_known(gap, returns, expected):
    named = dict(zip(("normalised_return", "normalised_return_mode"), returns, strict=False))
    assert judged(gap, **named).startswith(expected + ":")


def test_a_few_held_out_demonstrations_tell_nothing():
    assert judged(NEAR, held_out=2).startswith("cannot tell whether it converged: held-out demonstrations are 2,")
    assert judged(NEAR, held_out=2, normalised_return=0.99, normalised_return_mode=1.0).startswith("converged")


@pytest.mark.parametrize(("random", "expert", "is_known"), [(5.0, 5.0, False), (6.0, 5.0, False), (4.0, 5.0, True)])
def test_a_return_is_normalised_only_where_demonstrations_beat_chance(random, expert, is_known):
    report = LogImitation(random_return=random)
    trainer = SimpleNamespace(datamodule=SimpleNamespace(expert_return=expert))
    episodes = SimpleNamespace(rewards=torch.ones(4, 5))
    found = report._returns(trainer, None, episodes, episodes)
    assert found["return"] == 5
    assert math.isfinite(found["normalised_return"]) == is_known  # what is not finite is not logged


def test_a_mode_that_outdoes_the_demonstrations_by_far_is_suspicious():
    assert "time limit" in judged(NEAR, normalised_return=1.03, normalised_return_mode=2.73)
    assert "time limit" not in judged(NEAR, normalised_return=0.3, normalised_return_mode=1.0)
    assert "time limit" not in judged(NEAR, normalised_return=1.9, normalised_return_mode=2.0)
