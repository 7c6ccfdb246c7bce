"""The IRL view: its losses are the other views' on the same samples, its rounds do what they say."""

import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_irl.costs import MLPCost, MLPStepCost, TrajectoryCost
from lightning_irl.environments import CartPole, Pendulum
from lightning_irl.learners import PPO, ScoreFunction
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy
from lightning_irl.samplers import GaussianMixtureSampler, PolicySampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.spaces.samples import count, doubled
from lightning_irl.spaces.trajectory import cut
from lightning_irl.verification import verify
from lightning_irl.views import EBM, GAN, IRL

EVENT = make_trajectory_event(
    10, [3], action_shape=[1], action_low=[-2], action_high=[2], observation_scale=[0.7, 0.7, 3]
)
ABSORBING = make_trajectory_event(30, [4], num_actions=2, absorbing=True)


def build(view=IRL, event=EVENT, **options):
    environment, policy = (
        (CartPole(), CategoricalPolicy) if event["num_actions"] else (Pendulum(), ClippedGaussianPolicy)
    )
    options = {"learner": partial(PPO, passes=1, minibatches=2), "num_samples": 12, **options}
    return view(
        event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8])),
        partial(PolicySampler, environment=environment, policy=partial(policy, hidden=[8])),
        **options,
    )


def demonstrations(event=EVENT, num=8):
    """Those of a policy whose last layer was moved."""
    view = build(event=event)
    with torch.no_grad():
        view.sampler.policy.network[-1].bias.add_(0.5)
    return view.sampler.sample(num)[0]


def silent_trainer():
    """One epoch, every batch logged."""
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


@pytest.mark.long
@pytest.mark.parametrize("event", [EVENT, ABSORBING], ids=["pendulum", "cartpole"])
@pytest.mark.parametrize("level", ["trajectory", "transition", 5])
@pytest.mark.parametrize("view", [IRL, GAN, EBM])
def test_the_papers_facts_hold_at_every_level(view, event, level):
    made = build(view, event, level=level)
    found = verify(made, demonstrations(event))
    assert found.exit_code == 0, found
    if view is not EBM:  # importance alone is not the mixture's gradient
        assert found.trained_gradient < 1e-10


@pytest.mark.parametrize(
    ("options", "other", "others"),
    [
        ({}, GAN, {}),
        ({"objective": "guided_cost"}, EBM, {}),
        ({"objective": "guided_cost", "negative_phase": "mixture"}, EBM, {"negative_phase": "mixture"}),
        ({"objective": "guided_cost", "negative_phase": "uniform"}, EBM, {"negative_phase": "uniform"}),
    ],
)
@pytest.mark.parametrize("level", ["trajectory", "transition"])
def test_its_losses_are_those_of_the_other_views(options, other, others, level):
    first, second = build(level=level, **options).double(), build(other, level=level, **others).double()
    second.load_state_dict({k: v for k, v in first.state_dict().items() if k in second.state_dict()}, strict=False)
    demos = first.pair.at_level(doubled(demonstrations()))
    samples, log_q = first.pair.draw(12)
    losses = [view.cost_loss(demos, samples, log_q) for view in (first, second)]
    gradients = [
        torch.autograd.grad(loss, list(view.cost.parameters()))
        for loss, view in zip(losses, (first, second), strict=True)
    ]
    assert torch.allclose(*losses, atol=1e-12)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*gradients, strict=True))


def test_it_trains_points_too():
    event = make_event("point", [2])
    view = IRL(event, MLPCost, partial(GaussianMixtureSampler, components=3))
    opposite = verify(view, torch.randn(50, 2))
    assert opposite.exit_code == 0
    assert opposite.trained_sampler_gradient < 1e-10


def test_the_score_functions_gradient_is_the_papers():
    found = verify(build(event=ABSORBING, learner=ScoreFunction), demonstrations(ABSORBING))
    assert found.trained_sampler_gradient < 1e-10


class Recorder:
    """Stands in for Lightning: keeps what each descent was given."""

    def __init__(self, view):
        self.calls = []
        view.descend = self.descend
        self.cost_loss, view.cost_loss = view.cost_loss, self.watch

    def watch(self, demos, samples, log_q):
        self.calls.append((count(demos), count(samples), samples, log_q))
        return self.cost_loss(demos, samples, log_q)

    def descend(self, name, loss_of):
        self.calls.append(name)
        loss_of()


def test_a_round_draws_once_and_takes_so_many_steps():
    view = build(level="transition", cost_steps=3, cost_batch=20)
    drawn = []
    sample = view.sampler.sample
    view.sampler.sample = lambda num: drawn.append(num) or sample(num)
    recorder = Recorder(view)
    view.train_pair(view.pair.at_level(demonstrations()))
    assert drawn == [12]
    steps = [call for call in recorder.calls if isinstance(call, tuple)]
    assert [call[:2] for call in steps] == [(20, 20)] * 3
    assert [call for call in recorder.calls if isinstance(call, str)] == ["cost"] * 3 + ["sampler"] * 2


@pytest.mark.long
@pytest.mark.parametrize("event", [EVENT, ABSORBING], ids=["pendulum", "cartpole"])
@pytest.mark.parametrize("learner", [partial(PPO, passes=2, minibatches=2), ScoreFunction])
@pytest.mark.parametrize(
    "options",
    [
        {"level": "transition", "cost_steps": 2, "cost_batch": 20, "keep_rounds": 1},
        {"level": 5, "log_z_by": "learned"},
        {"objective": "guided_cost", "cost_steps": 2},
        {"objective": "guided_cost", "negative_phase": "mixture", "keep_rounds": 2},
        {"view": GAN},
        {"view": EBM, "negative_phase": "mixture"},
    ],
    ids=str,
)
def test_a_round_reads_nothing_back(options, learner, event, host_reads):
    """But once how many steps were acted, where PPO meets an environment that absorbs."""
    sgd = partial(torch.optim.SGD, lr=0.01)
    view = build(event=event, learner=learner, cost_optimizer=sgd, sampler_optimizer=sgd, **options)
    demos = demonstrations(event)
    trainer = silent_trainer()
    with host_reads.of_steps(view) as counts:
        trainer.fit(view, DataLoader([Batch(demos, torch.zeros(8))] * 4, batch_size=None))
    assert counts == [int(isinstance(view.learner, PPO) and event is ABSORBING)] * 4


def test_kept_draws_have_the_density_of_the_fusion():
    view = build(keep_rounds=2)
    recorder = Recorder(view)
    demos, policies, rounds = demonstrations(), [], []
    for _ in range(4):
        policies.append(view.sampler.snapshot())
        view.train_pair(demos)
        rounds.append([call for call in recorder.calls if isinstance(call, tuple)][-1])
        with torch.no_grad():
            view.sampler.policy.log_std.add_(0.3)
    assert [call[1] for call in rounds] == [12, 24, 36, 36]  # two kept rounds and the current one
    _, _, samples, log_q = rounds[-1]
    scores = torch.stack([policy.log_prob(samples) for policy in policies[-3:]])
    assert torch.allclose(log_q, torch.logsumexp(scores, 0) - math.log(3), atol=1e-5)
    assert torch.equal(
        samples.actions[:12], rounds[1][2].actions[12:24]
    )  # the oldest kept are those of the second round


def test_importance_from_the_fusion_is_unbiased():
    """The mean of exp(-c) / fusion over draws of both policies is Z, though neither policy is near the model."""
    event = make_trajectory_event(1, [3], num_actions=3)
    cost, policies = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.1, 0.8]])
    fused = policies.mean(0)
    estimate = sum((row * (-cost).exp() / fused).sum() for row in policies) / 2
    assert estimate.item() == pytest.approx((-cost).exp().sum().item())
    assert event["horizon"] == 1


def test_kept_draws_survive_a_checkpoint(tmp_path):
    view = build(keep_rounds=2)
    Recorder(view)
    for _ in range(3):
        view.train_pair(demonstrations())
        with torch.no_grad():
            view.sampler.policy.log_std.add_(0.3)
    checkpoint = {}
    view.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "part.pt")
    other = build(keep_rounds=2)
    other.on_load_checkpoint(torch.load(tmp_path / "part.pt", weights_only=True))
    other.sampler.load_state_dict(view.sampler.state_dict())
    samples = demonstrations()
    assert torch.equal(view.pair.log_q(samples), other.pair.log_q(samples))
    assert torch.equal(view.fusion.pool(samples).actions, other.fusion.pool(samples).actions)


def test_only_the_papers_generator_loss_splits_over_steps():
    with pytest.raises(ValueError, match="no sum over steps"):
        build(generator_loss="saturating")
    view = build(generator_loss="saturating", level="transition")
    steps, log_q = view.pair.draw(3)
    assert view.step_objective(steps, log_q).shape == (30,)


def test_what_the_policy_is_paid_is_minus_cost_minus_log_pi():
    view = build()
    steps, log_pi = cut(demonstrations(), 1), torch.randn(80)
    expected = view.cost(steps) + log_pi
    assert torch.allclose(view.step_objective(steps, log_pi), expected)
    paid = {}
    view.learner.advantages = lambda rewards, values: paid.setdefault("rewards", rewards) * 0 + values
    trajectory = demonstrations()
    view.learner.begin(view.sampler, view.step_objective, trajectory)
    log_pi = view.sampler.step_log_prob(trajectory)
    assert torch.allclose(paid["rewards"], -view.cost.step_costs(trajectory) - log_pi, atol=1e-6)


def test_a_fixed_cost_is_not_descended():
    view = build(cost_steps=0)
    recorder = Recorder(view)
    view.train_pair(demonstrations())
    assert set(recorder.calls) == {"sampler"}
    view.configure_optimizers()
    assert "cost" not in view.descent.names
    assert "cost_steps is 0" in view.departures()[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "cost"}, "objective"),
        ({"cost_batch": 0}, "cost_batch"),
        ({"keep_rounds": -1}, "keep_rounds"),
        ({"level": 3}, "divide"),
        ({"level": "step"}, "level"),
        ({"accumulate": 2}, "accumulate"),
        ({"objective": "guided_cost", "negative_phase": "mixture", "p_hat": "fitted"}, "Gaussian"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)


def test_a_level_needs_steps():
    with pytest.raises(ValueError, match="no steps"):
        IRL(make_event("point", [2]), MLPCost, GaussianMixtureSampler, level="transition")


@pytest.mark.parametrize("event", [EVENT, ABSORBING], ids=["pendulum", "cartpole"])
def test_environment_steps_are_those_acted_in_training(event, tmp_path):
    view = build(event=event, learner=ScoreFunction, level="transition")  # which draws again for its loss
    acted, roll = [], view.sampler._roll
    view.sampler._roll = lambda *args: acted.append(roll(*args)) or acted[-1]
    demos = demonstrations(event)
    trainer = silent_trainer()
    loader = DataLoader([Batch(demos, torch.zeros(8))] * 2, batch_size=None)
    view.sampler.sample(5)  # not of training
    acted.clear()
    trainer.fit(view, loader)
    steps = int(sum(rollout.trajectory.mask.sum() for rollout in acted))
    assert len(acted) == 4
    assert int(view.environment_steps) == int(trainer.callback_metrics["environment_steps"]) == steps
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    other = build(event=event, learner=ScoreFunction, level="transition")
    other.on_load_checkpoint(torch.load(tmp_path / "mine.ckpt", weights_only=True))
    assert int(other.environment_steps) == steps
