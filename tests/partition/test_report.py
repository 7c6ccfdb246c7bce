"""Everything at once, and who contradicts whom."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lightning_irl.partition import PartitionEstimate, annealed, estimate_all, pool, reconcile
from lightning_irl.samplers import BroadSampler
from lightning_irl.spaces.event import make_event


def _estimate(method: str, log_z: float, stderr: float = 0.01, **changes) -> PartitionEstimate:
    values = {"ess": 500.0, "k_hat": 0.1, "num_samples": 1000, "certifies": True, "reliable": True, "reason": ""}
    return PartitionEstimate(log_z, stderr, method=method, **(values | changes))


def _by_method(estimates: list[PartitionEstimate]) -> dict[str, PartitionEstimate]:
    return {estimate.method: estimate for estimate in estimates}


def test_all_agree_on_a_skewed_target(skew_normal):
    torch.manual_seed(1)  # seed 0 holds one of the 3-sigma deviations that every 370th estimate has
    known = skew_normal(2)
    estimates = estimate_all(known.cost, known.sampler, demonstrations=torch.randn(300, 2), num_temperatures=60)
    assert [estimate.method for estimate in estimates] == [
        "quadrature",
        "annealed_broad",
        "annealed",
        "bridge",
        "importance",
        "discriminator",
        "mixture",
    ]
    for estimate in estimates[:5]:
        assert estimate.reliable, estimate
        assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr
    assert not any(estimate.certifies for estimate in estimates[5:])


@pytest.mark.long
@pytest.mark.parametrize("dimension", [2, 16])
def test_a_mode_that_sampler_and_demonstrations_miss_is_noticed(dimension, missed_mode):
    known = missed_mode(dimension)
    methods = ("annealed_broad", "annealed", "bridge", "importance")  # without quadrature: chains alone must find it
    estimates = _by_method(
        estimate_all(
            known.cost,
            known.sampler,
            demonstrations=torch.randn(200, dimension),
            num_temperatures=100,
            methods=methods,
        )
    )
    importance = estimates["importance"]
    assert importance.log_z == pytest.approx(known.log_z - math.log(2), abs=0.1)
    assert importance.ess > 2000  # nothing in its own weights gives it away
    assert not importance.reliable
    assert "annealed_broad" in importance.reason
    assert not estimates["annealed"].reliable  # few of its chains get there, if any
    for name in ("annealed_broad", "bridge"):
        assert estimates[name].reliable
        assert abs(estimates[name].log_z - known.log_z) < 4 * estimates[name].stderr


def test_image_on_a_box(beta_pixels):
    known = beta_pixels([1, 2, 2])
    estimates = _by_method(estimate_all(known.cost, known.sampler, num_temperatures=60))
    assert set(estimates) == {"annealed_broad", "annealed", "bridge", "importance"}
    for estimate in estimates.values():
        assert abs(estimate.log_z - known.log_z) < 4 * estimate.stderr


@pytest.mark.parametrize(
    ("shape", "expected"), [([1, 2, 2], ["quadrature", "importance"]), ([1, 4, 4], ["importance"])]
)
def test_discrete_levels_are_summed_over_or_weighed_but_not_annealed(shape, expected):
    event = make_event("image", shape, support="box", base_measure="counting", levels=5)
    sampler = BroadSampler(event)
    demonstrations = sampler.sample(100)[0]

    def cost(samples):
        return 0.5 * (samples.flatten(1) - 0.2).sin().sum(1)

    estimates = estimate_all(cost, sampler, demonstrations=demonstrations)
    assert [estimate.method for estimate in estimates] == [*expected, "discriminator", "mixture"]
    assert all(estimate.reliable for estimate in estimates[: len(expected)])
    middles = (torch.arange(5) + 0.5) / 5 - 0.2
    log_z = math.prod(shape) * torch.logsumexp(-0.5 * middles.sin(), 0).item()
    for estimate in estimates[: len(expected)]:
        assert abs(estimate.log_z - log_z) < 4 * estimate.stderr + 1e-5
    with pytest.raises(ValueError, match=r"annealed path is for continuous samples, and the event counts 5 levels"):
        annealed(cost, sampler)


def test_unknown_method_is_refused(skew_normal):
    known = skew_normal(1)
    with pytest.raises(ValueError, match=r"methods has \['bennett'\]"):
        estimate_all(known.cost, known.sampler, methods=("bennett",))


def test_the_lower_of_two_is_doubted_and_names_the_other():
    checked = _by_method(reconcile([_estimate("annealed_broad", 1.0, 0.1), _estimate("importance", 0.3)]))
    assert checked["annealed_broad"].reliable
    assert not checked["importance"].reliable
    assert "annealed_broad says 1.00 +- 0.1" in checked["importance"].reason


def test_within_the_joint_error_nothing_happens():
    given = [_estimate("annealed_broad", 0.55, 0.1), _estimate("importance", 0.3)]
    assert reconcile(given) == given
    assert reconcile(given)[0] is not given[0]


def test_quadrature_is_believed():
    checked = _by_method(reconcile([_estimate("quadrature", 0.0, 1e-6), _estimate("annealed", 0.5, 0.1)]))
    assert checked["quadrature"].reliable
    assert not checked["annealed"].reliable


def test_a_bridge_above_all_others_is_doubted_unless_one_agrees():
    low = [_estimate("annealed_broad", 0.0), _estimate("importance", 0.01)]
    checked = _by_method(reconcile([*low, _estimate("bridge", 1.0)]))
    assert not checked["bridge"].reliable
    checked = _by_method(reconcile([low[1], _estimate("annealed_broad", 1.01), _estimate("bridge", 1.0)]))
    assert checked["bridge"].reliable
    assert checked["annealed_broad"].reliable
    assert not checked["importance"].reliable


def test_a_noisy_lower_bound_still_contradicts_from_far_above():
    noisy = _estimate("annealed_broad", 6.0, 1.0, ess=1.5, reliable=False, reason="effective sample size 2")
    checked = _by_method(reconcile([noisy, _estimate("importance", 0.0)]))
    assert not checked["importance"].reliable
    near = _estimate("annealed_broad", 3.0, 1.0, ess=1.5, reliable=False, reason="effective sample size 2")
    checked = _by_method(reconcile([near, _estimate("importance", 0.0)]))
    assert checked["importance"].reliable
    assert "no reliable estimate from a broad start" in checked["importance"].reason


def test_training_quantities_neither_judge_nor_are_judged():
    far = _estimate("discriminator", 5.0, certifies=False, reliable=False, reason="treats")
    checked = reconcile([_estimate("importance", 0.0), far])
    assert checked[0].reliable
    assert checked[1] == far


def test_interval():
    low, high = _estimate("importance", 1.0, 0.1).interval
    assert (low, high) == pytest.approx((0.804, 1.196))


def test_repetitions_are_pooled_as_means_of_z():
    # Z = 1 and 3 have the mean 2; weights 1/4 and 3/4 of own errors 0.1 and 0.2.
    pooled = pool([_estimate("annealed", 0.0, 0.1), _estimate("annealed", math.log(3.0), 0.2)])
    assert pooled.log_z == pytest.approx(math.log(2.0))
    # The spread, 2^(1/2) over a mean of 2, over 2^(1/2) repetitions, is 0.5; more than their own errors.
    assert pooled.stderr == pytest.approx(0.5)
    assert not pooled.reliable
    assert "2 repetitions spread by 0.78 nats" in pooled.reason


def test_repetitions_that_agree_stay_reliable_with_no_less_than_their_own_error():
    pooled = pool([_estimate("annealed", 1.0, 0.1), _estimate("annealed", 1.0, 0.1)])
    assert pooled.reliable
    assert pooled.stderr == pytest.approx(0.1 / math.sqrt(2))


def test_one_unreliable_repetition_is_told():
    bad = replace(_estimate("annealed", 1.0, 0.1), reliable=False, reason="few chains")
    pooled = pool([_estimate("annealed", 1.0, 0.1), bad])
    assert not pooled.reliable
    assert pooled.reason == "few chains"
