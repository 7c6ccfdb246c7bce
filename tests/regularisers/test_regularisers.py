"""Regularisers against closed forms; in every view, in a descent, in a checkpoint."""

import csv
import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_irl.command.cli import main
from lightning_irl.costs import MLPCost, MLPStepCost, QuadraticCost, TiltedCost, TrajectoryCost
from lightning_irl.environments import Pendulum
from lightning_irl.learners import PPO
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.regularisers import CostOffset, EnergyMagnitude, GradientPenalty, Regulariser
from lightning_irl.samplers import GaussianSampler, PolicySampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.verification import verify
from lightning_irl.views import EBM, GAN, IRL

EVENT = make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0])
TRAJECTORIES = make_trajectory_event(10, [3], action_shape=[1], action_low=[-2], action_high=[2])
KINDS = {
    "magnitude": EnergyMagnitude,
    "offset": CostOffset,
    "R1": GradientPenalty,
    "R2": partial(GradientPenalty, at="draws"),
    "between": partial(GradientPenalty, at="between", target=1),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
DEMOS = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [0.0, 1.0]], dtype=torch.float64)
DRAWS = torch.tensor([[4.0, -1.0], [2.0, 2.0]], dtype=torch.float64)


def penalty(kind, energy, demonstrations=DEMOS, samples=DRAWS, weight=0.7):
    return KINDS[kind](EVENT, weight=weight)(energy, demonstrations, samples)


# ---- known answers


def test_energy_magnitude_is_half_and_half_whatever_the_counts():
    energy = lambda x: 2 * x[:, 0]  # noqa: E731
    expected = 0.7 * ((4 + 36 + 0) / 3 + (64 + 16) / 2)
    assert penalty("magnitude", energy).item() == pytest.approx(expected, abs=1e-12)


def test_the_offset_is_the_mean_of_both_means_whatever_the_counts():
    energy = lambda x: 2 * x[:, 0]  # noqa: E731
    expected = 0.7 * ((-4 / 3 + 6) / 2) ** 2
    assert penalty("offset", energy).item() == pytest.approx(expected, abs=1e-12)


def test_the_offset_is_zero_for_every_model_at_one_constant():
    """And its only force is along the constant: a cost at its own least penalty has no gradient in anything."""
    torch.manual_seed(0)
    cost = MLPCost(EVENT, hidden=[6]).double()
    before = cost(DEMOS)
    with torch.no_grad():
        *_, bias = cost.parameters()
        bias -= (cost(DEMOS).mean() + cost(DRAWS).mean()) / 2
    penalty("offset", cost).backward()
    assert penalty("offset", cost).item() == pytest.approx(0, abs=1e-20)
    torch.testing.assert_close(cost(DEMOS) - before, (cost(DEMOS) - before)[:1].expand(3))
    assert max(parameter.grad.abs().max().item() for parameter in cost.parameters()) < 1e-12


@pytest.mark.parametrize("kind", ["magnitude", "offset"])
def test_of_a_tilted_cost_the_tilt_counts_and_its_bound_does_not_stop_it(kind):
    """Not -log q_0, whose size is no fault; and from beyond the bound, where the cost has no slope, the way back has
    one.
    """
    torch.manual_seed(0)
    tilted = partial(TiltedCost, cost=partial(MLPCost, hidden=[6]), bound=2.0)
    built = GAN(EVENT, tilted, GaussianSampler, temperature=2.0, regularisers=[partial(KINDS[kind], weight=0.7)])
    with torch.no_grad():
        *_, bias = built.cost.tilt.parameters()
        bias += 100
    demos, draws = DEMOS.float(), DRAWS.float()
    (term,) = built.penalties(demos, draws).values()
    torch.testing.assert_close(term, penalty(kind, lambda x: built.cost.tilt(x) / 2, demos, draws))
    (force,) = torch.autograd.grad(term, bias)
    assert force.item() > 1
    (slope,) = torch.autograd.grad(built.energy(demos).sum(), bias)
    assert slope.item() == 0


@pytest.mark.parametrize(("kind", "expected"), [("R1", 25.0), ("R2", 25.0), ("between", 16.0)])
def test_a_linear_cost_has_one_slope(kind, expected):
    """|a| = 5 everywhere: a square of 25, and of 16 off a norm of 1."""
    slope = torch.tensor([3.0, -4.0], dtype=torch.float64)
    assert penalty(kind, lambda x: x @ slope + 9).item() == pytest.approx(0.7 * expected, abs=1e-12)


@pytest.mark.parametrize(("kind", "points"), [("R1", DEMOS), ("R2", DRAWS)])
def test_the_slope_of_a_quadratic_cost_is_its_precision_times_the_distance(kind, points):
    cost = QuadraticCost(EVENT).double()
    with torch.no_grad():
        cost.off_diagonal.add_(torch.randn(2, 2))
    root = cost.off_diagonal.tril(-1) + torch.diag(cost.log_diagonal.exp())
    slopes = (points - cost.mean) @ (root @ root.T)
    torch.testing.assert_close(penalty(kind, cost), 0.7 * slopes.square().sum(-1).mean())


def test_in_between_is_uniform_on_each_line():
    """A share of the way with mean 1/2 and variance 1/12; 4 standard errors of both (of the variance: 1/180 over N)."""
    num, seen = 4000, []
    demos, draws = torch.zeros(num, 2), torch.ones(num + 5, 2) * torch.tensor([2.0, -4.0])

    def energy(points):
        seen.append(points.detach())
        return points.sum(-1)

    penalty("between", energy, demos, draws)
    (points,) = seen
    share = points[:, 0] / 2
    torch.testing.assert_close(points[:, 1], -4 * share)
    assert points.shape == (num, 2)
    assert abs(share.mean() - 0.5) < 4 * math.sqrt(1 / 12 / num)
    assert abs(share.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / num)


@every_kind
def test_gradients_are_finite_differences(kind):
    cost = MLPCost(EVENT, hidden=[6]).double()

    def value():
        torch.manual_seed(5)
        return penalty(kind, cost)

    value().backward()
    for parameter in cost.parameters():
        for index in range(0, parameter.numel(), 5):
            slope = 0.0 if parameter.grad is None else parameter.grad.flatten()[index].item()
            ends = []
            for step in (1e-6, -2e-6):
                with torch.no_grad():
                    parameter.view(-1)[index] += step
                ends.append(value().item())
            with torch.no_grad():
                parameter.view(-1)[index] += 1e-6
            assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


@every_kind
def test_a_flat_cost_has_finite_gradients(kind):
    """A norm has no gradient at zero; where one is taken, its subgradient is zero."""
    weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    penalty(kind, lambda x: x @ weight).backward()
    assert torch.isfinite(weight.grad).all()


@every_kind
def test_nothing_is_made_on_another_device(kind):
    cost = MLPCost(EVENT).double()
    with torch.device("meta"):
        value = penalty(kind, cost)
        value.backward()
    assert value.device.type == "cpu"
    assert value.dtype == torch.float64


# ---- in a view


@every_kind
@pytest.mark.parametrize("view", [GAN, EBM, IRL])
def test_a_descent_adds_the_term_over_temperature(view, kind):
    """The step of plain SGD is the gradient of loss plus term, the term being one of c/T."""
    torch.manual_seed(0)
    sgd = partial(torch.optim.SGD, lr=0.01)
    regulariser = partial(KINDS[kind], weight=0.7)
    options = {"cost_optimizer": sgd, "sampler_optimizer": sgd, "temperature": 2.0, "sampler_steps": 0}
    built = view(EVENT, partial(MLPCost, hidden=[8]), GaussianSampler, regularisers=[regulariser], **options)
    before = [parameter.detach().clone() for parameter in built.cost.parameters()]
    demos, drawn, states = torch.randn(32, 2), [], []
    built.cost_loss, cost_loss = lambda *given: drawn.append(given) or cost_loss(*given), built.cost_loss
    built.penalties, penalties = (
        lambda *given: states.append(torch.get_rng_state()) or penalties(*given),
        built.penalties,
    )
    trainer = pl.Trainer(
        max_epochs=1, logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(built, DataLoader([Batch(demos, torch.zeros(32))], batch_size=None))
    after = [parameter.detach().clone() for parameter in built.cost.parameters()]
    with torch.no_grad():
        for parameter, value in zip(built.cost.parameters(), before, strict=True):
            parameter.copy_(value)
    _, samples, log_q = drawn[0]
    torch.set_rng_state(states[0])
    term = regulariser(EVENT)(lambda x: built.cost(x) / 2, demos, samples)
    gradients = torch.autograd.grad(
        cost_loss(demos, samples, log_q) + term, list(built.cost.parameters()), allow_unused=True
    )
    for old, new, gradient in zip(before, after, gradients, strict=True):
        torch.testing.assert_close(old - new, 0.01 * gradient, rtol=1e-3, atol=1e-6)


@every_kind
def test_verify_shows_that_it_is_not_the_papers_objective(kind):
    torch.manual_seed(0)
    found = verify(
        GAN(EVENT, MLPCost, GaussianSampler, regularisers=[partial(KINDS[kind], weight=0.3)]), torch.randn(30, 2)
    )
    assert found.exit_code == 0
    assert found.trained_gradient > 1e-3
    (departure,) = found.departures
    assert "weight 0.3" in departure


def test_the_magnitude_works_on_trajectories_at_every_level():
    for level in ("trajectory", "transition", 5):
        built = trajectory_view(EnergyMagnitude, level=level)
        draws = built.pair.at_level(built.sampler.sample(6)[0])
        demos = built.pair.at_level(built.sampler.sample(4)[0])
        expected = 0.2 * (built.cost(demos).square().mean() + built.cost(draws).square().mean())
        torch.testing.assert_close(built.penalties(demos, draws)["energy_magnitude"], expected)


def trajectory_view(regulariser, **options):
    return IRL(
        TRAJECTORIES,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8])),
        partial(PolicySampler, environment=Pendulum(), policy=partial(ClippedGaussianPolicy, hidden=[8])),
        learner=PPO,
        regularisers=[partial(regulariser, weight=0.2)],
        **options,
    )


@pytest.mark.long
def test_a_config_names_them_and_its_checkpoint_continues(tmp_path, monkeypatch):
    """By short name, logged under their names, and resumed from a file that holds data alone."""
    monkeypatch.chdir(tmp_path)
    options = ["--threads=1", "--data.steps_per_epoch=2", "--data.batch_size=16", "--trainer.enable_progress_bar=false"]
    options += ["--trainer.log_every_n_steps=1", "--partition.methods=[]", "--partition.every_n_epochs=0"]
    names = (
        "[{class_path: EnergyMagnitude, init_args: {weight: 0.1}}, {class_path: GradientPenalty, init_args: "
        "{weight: 1}}]"
    )
    options += [f"--model.init_args.regularisers={names}"]
    assert main(["fit", "--config", "gan/eight_gaussians", "--trainer.max_epochs=1", *options]) == 0
    (metrics,) = tmp_path.rglob("metrics.csv")
    with metrics.open() as file:
        rows = list(csv.DictReader(file))
    for key in ("loss/energy_magnitude", "loss/gradient_penalty_demonstrations"):
        assert [float(row[key]) >= 0 for row in rows if row[key]] == [True, True]
    resume = [f"--ckpt_path={next(tmp_path.rglob('*.ckpt'))}", "--trainer.max_epochs=2"]
    assert main(["fit", "--config", "gan/eight_gaussians", *options, *resume]) == 0


def test_given_in_python_they_are_not_in_the_checkpoint():
    built = GAN(EVENT, MLPCost, GaussianSampler, regularisers=[partial(EnergyMagnitude, weight=0.1)])
    assert "regularisers" not in built.hparams
    assert not [key for key in built.state_dict() if "regularisers" in key]


# ---- refusals


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: EnergyMagnitude(EVENT, weight=0.0), ["EnergyMagnitude", "weight", "0.0", "above 0"]),
        (lambda: GradientPenalty(EVENT, weight=1.0, at="noise"), ["'noise'", "demonstrations, draws, between"]),
        (lambda: GradientPenalty(EVENT, weight=1.0, target=2.0), ["target is 2.0", "0, 1"]),
        (lambda: trajectory_view(GradientPenalty), ["GradientPenalty", "trajectories", "EnergyMagnitude"]),
    ],
)
def test_refusals_say_what_to_do(build, words):
    with pytest.raises(ValueError) as caught:
        build()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("kinds", "options", "words"),
    [
        ([EnergyMagnitude], {"cost_steps": 0}, ["energy_magnitude", "cost_steps is 0"]),
        ([EnergyMagnitude] * 2, {}, ["energy_magnitude", "2 times"]),
        ([GradientPenalty], {"compile": True}, ["gradient_penalty_demonstrations", "torch.compile"]),
    ],
)
def test_a_view_refuses_what_makes_no_sense(kinds, options, words):
    with pytest.raises(ValueError) as caught:
        GAN(EVENT, MLPCost, GaussianSampler, regularisers=[partial(kind, weight=1.0) for kind in kinds], **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_one_of_ones_own():
    """A class with a penalty is all there is to write."""

    class Slant(Regulariser):
        def penalty(self, energy, demonstrations, samples):
            return energy(samples).mean() - energy(demonstrations).mean()

    built = GAN(EVENT, MLPCost, GaussianSampler, regularisers=[partial(Slant, weight=2.0)]).double()
    expected = 2 * (built.cost(DRAWS).mean() - built.cost(DEMOS).mean())
    torch.testing.assert_close(built.penalties(DEMOS, DRAWS)["slant"], expected)
    assert "Slant" in built.departures()[0]
