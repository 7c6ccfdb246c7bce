"""The views' two losses against explicit formulas, over every option; a new option is covered by a line in OPTIONS."""

import math
from functools import partial
from itertools import product

import pytest
import torch

from lightning_irl import objectives
from lightning_irl.costs import AutoencoderCost, MLPCost, QuadraticCost
from lightning_irl.learners import ScoreFunction
from lightning_irl.samplers import (
    BroadSampler,
    DefensiveSampler,
    FlowSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    GeneratorSampler,
    Sampler,
)
from lightning_irl.samplers.gaussian import matched_log_prob
from lightning_irl.spaces.event import make_event
from lightning_irl.views import EBM, GAN

EVENTS = {
    "real": make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0]),
    "box": make_event("point", [2], support="box", low=-1, high=3),
}
SAMPLERS = {
    "gaussian": GaussianSampler,
    "mixture": partial(GaussianMixtureSampler, components=3),
    "flow": partial(FlowSampler, transforms=2, hidden=[8]),
    "defensive": partial(DefensiveSampler, sampler=GaussianSampler),
    "generator": partial(GeneratorSampler, hidden=[8]),
}
P_HATS = {"current": "current", "fitted": "fitted", "given": BroadSampler}
autoencoder = partial(AutoencoderCost, code=2, widths=[12])
GENERATOR_LOSSES = ("sum", "saturating", "non_saturating")
OPTIONS = [
    *(
        (GAN, {"discriminator": discriminator, "generator_loss": generator_loss, "log_z_by": log_z_by})
        for discriminator, generator_loss, log_z_by in product(
            ("density", "plain"), GENERATOR_LOSSES, ("optimal", "learned")
        )
    ),
    *((EBM, {"negative_phase": phase}) for phase in ("importance", "uniform")),
    *((EBM, {"negative_phase": "mixture", "p_hat": p_hat}) for p_hat in P_HATS),
    (GAN, {"temperature": 3.0, "entropy_weight": 0.5, "likelihood_weight": 0.1}),
    (EBM, {"temperature": 3.0, "entropy_weight": 0.5, "likelihood_weight": 0.1}),
    (GAN, {"learner": ScoreFunction, "num_samples": 17}),
    (EBM, {"learner": ScoreFunction, "num_samples": 17}),
    (GAN, {"sampler": "generator", "discriminator": "plain"}),
    (GAN, {"sampler": "generator", "discriminator": "margin", "margin": 4.0, "cost": autoencoder}),
    (
        GAN,
        {"discriminator": "margin", "margin": 4.0, "temperature": 2.0, "cost": autoencoder, "learner": ScoreFunction},
    ),
    (EBM, {"sampler": "generator", "negative_phase": "uniform", "entropy_weight": 0.0}),
]
IDS = ["-".join([view.__name__, *(f"{getattr(v, '__name__', v)}" for v in given.values())]) for view, given in OPTIONS]
every_option = pytest.mark.parametrize(("view", "options"), OPTIONS, ids=IDS)
every_support = pytest.mark.parametrize("support", EVENTS)


def build(view, support="real", cost=None, sampler="gaussian", p_hat="current", spread=0.2, **options):
    """A view whose cost and sampler are nowhere at their start; the same pair for the same cost and sampler."""
    torch.manual_seed(0)
    if view is EBM:
        options["p_hat"] = P_HATS[p_hat]
    cost = cost or partial(MLPCost, hidden=[12])
    built = view(EVENTS[support], cost, SAMPLERS[sampler], **options).double()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in [*built.cost.parameters(), *built.sampler.parameters()]:
            parameter.add_(spread * torch.randn_like(parameter))
    return built


def demonstrations(support="real", num=40):
    generator = torch.Generator().manual_seed(2)
    if support == "box":
        return -1 + 4 * torch.rand(num, 2, generator=generator, dtype=torch.float64).square()
    return torch.randn(num, 2, generator=generator, dtype=torch.float64).exp() - 2


def draw(view, num=30):
    torch.manual_seed(3)
    return view.sampler.sample(num)


def gradients(loss, module):
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.parameters()))])


def seeded(function, *arguments):
    torch.manual_seed(4)
    return function(*arguments)


@every_support
@every_option
def test_losses_and_gradients_are_finite_and_on_their_device(view, options, support):
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    view, demos = build(view, support, **options), demonstrations(support)
    samples, log_q = draw(view)
    with torch.device("meta"):
        losses = {
            "cost": view.cost_loss(demos, samples, log_q),
            "sampler": view.sampler_loss(demos),
        }
    for name, loss in losses.items():
        assert loss.shape == ()
        assert loss.device.type == "cpu"
        assert loss.dtype == torch.float64
        assert torch.isfinite(loss)
        for key, gradient in zip(
            dict(getattr(view, name).named_parameters()),
            torch.autograd.grad(loss, list(getattr(view, name).parameters())),
            strict=True,
        ):
            assert torch.isfinite(gradient).all(), key
            # the head's bias, and a constant, cancel where the loss is solved for log_z or normalised
            assert (gradient != 0).any() or key.endswith("network.2.bias"), key
    knows_log_z = options.get("discriminator", "density") == "density" and options.get("sampler") != "generator"
    assert torch.isfinite(view.log_z).item() == knows_log_z
    assert view.log_z.shape == ()


@every_support
@pytest.mark.parametrize("sampler", ["gaussian", "mixture", "flow", "defensive"])
@pytest.mark.parametrize("view", [GAN, EBM])
def test_half_precision_costs_give_losses_in_single(view, sampler, support):
    """As under autocast: the cost answers in bfloat16, logits and their log-sum-exps are in float32."""
    view = build(view, support, sampler=sampler).float()
    forward = type(view.cost).forward
    view.cost.forward = lambda samples: forward(view.cost, samples).bfloat16()
    demos = demonstrations(support).float()
    assert view.cost_loss(demos, *draw(view)).dtype == torch.float32
    assert view.sampler_loss(demos).dtype == torch.float32


# ---- GAN


@every_support
@pytest.mark.parametrize("discriminator", ["density", "plain"])
@pytest.mark.parametrize("loss", GENERATOR_LOSSES)
def test_generator_losses(loss, discriminator, support):
    view, demos = build(GAN, support, generator_loss=loss, discriminator=discriminator), demonstrations(support)
    view.cost_loss(demos, *draw(view))
    actual = seeded(view.sampler_loss, demos)
    samples, log_q = seeded(view.sampler.rsample, len(demos))
    model = torch.exp(-view.cost(samples))
    if discriminator == "plain":
        discriminated = model / (model + 1)
    else:
        model = model / view.log_z.exp()
        discriminated = model / (model + log_q.exp())
    saturating, non_saturating = torch.log(1 - discriminated).mean(), -torch.log(discriminated).mean()
    expected = {"saturating": saturating, "non_saturating": non_saturating, "sum": saturating + non_saturating}[loss]
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradients(actual, view.sampler), gradients(expected, view.sampler), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("log_z_by", ["optimal", "learned"])
def test_discriminator_loss(log_z_by):
    view, demos = build(GAN, log_z_by=log_z_by), demonstrations()
    samples, log_q = draw(view)
    actual = view.cost_loss(demos, samples, log_q)

    def discriminated(x, log_density):
        model = torch.exp(-view.cost(x) - view.log_z)
        return model / (model + log_density.detach().exp())

    real, fake = discriminated(demos, view.sampler.log_prob(demos)), discriminated(samples, log_q)
    expected = -torch.log(real).mean() - torch.log(1 - fake).mean()
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradients(actual, view.cost), gradients(expected, view.cost))
    torch.testing.assert_close((1 - real).mean(), fake.mean(), rtol=1e-9, atol=1e-9)  # fact 1: E_p[1 - D] = E_q[D]


def test_plain_discriminator_loss_is_the_ordinary_gans():
    view, demos = build(GAN, discriminator="plain"), demonstrations()
    samples, log_q = draw(view)
    real, fake = torch.sigmoid(-view.cost(demos)), torch.sigmoid(-view.cost(samples))
    expected = -torch.log(real).mean() - torch.log(1 - fake).mean()
    torch.testing.assert_close(view.cost_loss(demos, samples, log_q), expected)


@every_support
@pytest.mark.parametrize("sampler", ["generator", "gaussian"])
def test_the_margin_discriminators_losses_are_ebgans(sampler, support):
    """E_p[c/T] + E_q[max(0, m - c/T)] and E_q[c/T], whether or not the sampler has a density."""
    options = {"discriminator": "margin", "margin": 1.0, "temperature": 3.0}
    view, demos = build(GAN, support, cost=autoencoder, sampler=sampler, **options), demonstrations(support)
    samples, log_q = draw(view)
    real, fake = view.cost(demos) / 3, view.cost(samples) / 3
    margin = view.discriminator.margin = fake.median().item()  # draws on both sides of the hinge
    expected = real.mean() + torch.where(fake < margin, margin - fake, 0).mean()
    actual = view.cost_loss(demos, samples, log_q)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradients(actual, view.cost), gradients(expected, view.cost))
    expected = view.cost(seeded(view.sampler.rsample, len(demos))[0]).mean() / 3
    actual = seeded(view.sampler_loss, demos)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradients(actual, view.sampler), gradients(expected, view.sampler))
    assert not view.has_model
    assert "EBGAN" in " ".join(view.departures())


def test_optimal_log_z_is_solved_for_every_batch_however_far_the_last_one():
    view = build(GAN)
    samples, log_q = draw(view)
    for num, shift in ((40, 0.0), (3, 0.5), (17, 40.0), (40, -300.0), (5, 2.0)):
        with torch.no_grad():
            list(view.cost.parameters())[-1].add_(shift)
        demos = demonstrations(num=num)
        view.cost_loss(demos, samples, log_q)
        arguments = view.cost(demos), view.sampler.log_prob(demos), view.cost(samples), log_q
        torch.testing.assert_close(
            view.log_z, objectives.optimal_log_z(*arguments, num_steps=60), rtol=1e-10, atol=1e-8
        )


def test_learned_log_z_starts_at_the_solved_one_and_learns_ten_times_as_fast():
    view, demos = build(GAN, log_z_by="learned", cost_optimizer=partial(torch.optim.SGD, lr=0.02)), demonstrations()
    assert torch.isnan(view.log_z)
    samples, log_q = draw(view)
    view.cost_loss(demos, samples, log_q)
    arguments = view.cost(demos), view.sampler.log_prob(demos), view.cost(samples), log_q
    solved = objectives.optimal_log_z(*arguments)
    torch.testing.assert_close(view.log_z.detach(), solved)
    (optimizer, _), _ = view.configure_optimizers()
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.2]
    assert [parameter is view.log_z for parameter in optimizer.param_groups[1]["params"]] == [True]
    with torch.no_grad():
        view.log_z.add_(0.7)  # it has learned something: another batch does not solve it anew
    loss = view.cost_loss(demos[:7], samples, log_q)
    torch.testing.assert_close(view.log_z.detach(), solved + 0.7)
    logits = [-cost - log_z - (solved + 0.7) for cost, log_z in zip(arguments[::2], arguments[1::2], strict=True)]
    expected = torch.sigmoid(-logits[0][:7]).mean() - torch.sigmoid(logits[1]).mean()
    torch.testing.assert_close(torch.autograd.grad(loss, view.log_z)[0], expected)


def test_a_kept_log_z_survives_the_first_batch():
    """As after a resume: a learned log_z that is known is not solved again."""
    view, demos = build(GAN, log_z_by="learned"), demonstrations()
    with torch.no_grad():
        view.log_z.fill_(9.0)
    view.cost_loss(demos, *draw(view))
    assert view.log_z.item() == 9.0


@pytest.mark.parametrize("loss", GENERATOR_LOSSES)
def test_the_samplers_loss_does_not_move_a_learned_log_z(loss):
    view, demos = build(GAN, log_z_by="learned", generator_loss=loss), demonstrations()
    view.cost_loss(demos, *draw(view))
    view.sampler_loss(demos).backward()
    assert view.log_z.grad is None or view.log_z.grad == 0


# ---- EBM


@every_support
def test_importance_loss(support):
    view, demos = build(EBM, support), demonstrations(support)
    samples, log_q = draw(view)
    actual = view.cost_loss(demos, samples, log_q)
    log_z = (torch.exp(-view.cost(samples)) / log_q.exp()).mean().log()
    expected = view.cost(demos).mean() + log_z
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradients(actual, view.cost), gradients(expected, view.cost))
    torch.testing.assert_close(view.log_z, log_z.detach())


@every_support
@pytest.mark.parametrize("p_hat", P_HATS)
def test_mixture_loss(p_hat, support):
    """log of half the mean of exp(-c)/mu over demonstrations and half over draws, mu = 1/2 p_hat +
    1/2 q held constant.
    """
    view, demos = build(EBM, support, negative_phase="mixture", p_hat=p_hat), demonstrations(support)
    samples, log_q = draw(view)
    actual = view.cost_loss(demos, samples, log_q)
    with torch.no_grad():
        demo_log_q = view.sampler.log_prob(demos)
        solved = objectives.optimal_log_z(view.cost(demos), demo_log_q, view.cost(samples), log_q)
        density = {
            "current": lambda x: torch.exp(-view.cost(x) - solved),
            "fitted": lambda x: matched_log_prob(EVENTS[support], demos)(x).exp(),
            "given": lambda x: BroadSampler(EVENTS[support]).double().log_prob(x).exp(),
        }[p_hat]
        demo_mu, sample_mu = (density(demos) + demo_log_q.exp()) / 2, (density(samples) + log_q.exp()) / 2
    demo, sample = torch.exp(-view.cost(demos)) / demo_mu, torch.exp(-view.cost(samples)) / sample_mu
    log_z = torch.log(demo.mean() / 2 + sample.mean() / 2)
    torch.testing.assert_close(actual, view.cost(demos).mean() + log_z)
    expected = gradients(view.cost(demos).mean() + log_z, view.cost)
    torch.testing.assert_close(gradients(actual, view.cost), expected)
    torch.testing.assert_close(view.log_z, log_z.detach())
    if p_hat == "current":
        torch.testing.assert_close(log_z, solved)  # fact 1


def test_uniform_loss():
    view, demos = build(EBM, negative_phase="uniform"), demonstrations()
    samples, log_q = draw(view)
    expected = view.cost(demos).mean() - view.cost(samples).mean()
    torch.testing.assert_close(view.cost_loss(demos, samples, log_q), expected)


def test_a_given_p_hat_is_not_trained():
    view = build(EBM, negative_phase="mixture", p_hat="given")
    assert not any(key.startswith("p_hat") for key, parameter in view.named_parameters() if parameter.requires_grad)
    view = EBM(EVENTS["real"], MLPCost, GaussianSampler, negative_phase="mixture", p_hat=GaussianSampler)
    assert not any(parameter.requires_grad for parameter in view.guided_cost.p_hat.parameters())


# ---- the two views are one algorithm


@every_support
@pytest.mark.parametrize("sampler", ["gaussian", "mixture", "flow", "defensive"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_gan_and_ebm_have_the_same_gradients(sampler, temperature, support):
    """Facts 2 and 3 between the views as they run: the mixture form with the current model, and the
    sum of both losses.
    """
    shared = {"sampler": sampler, "temperature": temperature}
    gan, ebm = build(GAN, support, **shared), build(EBM, support, negative_phase="mixture", **shared)
    demos = demonstrations(support)
    samples, log_q = draw(gan)
    adversarial, likelihood = gan.cost_loss(demos, samples, log_q), ebm.cost_loss(demos, samples, log_q)
    torch.testing.assert_close(gan.log_z, ebm.log_z, rtol=1e-10, atol=1e-10)
    left, right = gradients(adversarial, gan.cost), gradients(likelihood, ebm.cost)
    assert (left - right).norm() < 1e-10 * right.norm()
    adversarial, guided = seeded(gan.sampler_loss, demos), seeded(ebm.sampler_loss, demos)
    torch.testing.assert_close(adversarial, gan.log_z + guided, rtol=1e-10, atol=1e-10)
    left, right = gradients(adversarial, gan.sampler), gradients(guided, ebm.sampler)
    assert (left - right).norm() < 1e-10 * right.norm()


@every_support
def test_ebm_sampler_loss_is_cost_plus_log_q(support):
    view, demos = build(EBM, support, temperature=2.0, entropy_weight=0.3), demonstrations(support)
    samples, log_q = seeded(view.sampler.rsample, len(demos))
    expected = (view.cost(samples) / 2 + 0.3 * log_q).mean()
    torch.testing.assert_close(seeded(view.sampler_loss, demos), expected)


# ---- temperature and the two weights


@pytest.mark.parametrize(
    ("view", "options"), [(GAN, {}), (GAN, {"log_z_by": "learned"}), (EBM, {}), (EBM, {"negative_phase": "mixture"})]
)
def test_the_model_is_exp_of_minus_cost_over_temperature(view, options):
    """With a sampler set to exp(-c/T)/Z every estimate is exact, whatever the batch: log Z = d/2 log(2 pi T) - log|det
    L| - b/T, D = 1/2, and the sampler's loss is at its minimum, -log Z (and log_z above it in the GAN)."""
    temperature = 3.0
    view = build(view, cost=QuadraticCost, temperature=temperature, **options)
    with torch.no_grad():
        root = view.cost.off_diagonal.tril(-1) + torch.diag(view.cost.log_diagonal.exp())
        covariance_root = torch.linalg.cholesky(temperature * torch.linalg.inv(root @ root.T))
        view.sampler.mean.copy_(view.cost.mean)
        view.sampler.log_diagonal.copy_(covariance_root.diagonal().log())
        view.sampler.off_diagonal.copy_(covariance_root.tril(-1))
    demos = demonstrations()
    view.cost_loss(demos, *draw(view))
    expected = math.log(2 * math.pi * temperature) - view.cost.log_diagonal.sum() - view.cost.constant / temperature
    torch.testing.assert_close(view.log_z.detach(), expected.detach(), rtol=0, atol=1e-9)
    scores = view.predict_step(type("Batch", (), {"samples": demos}), 0)
    torch.testing.assert_close(scores["logit"], torch.zeros_like(scores["logit"]), rtol=0, atol=1e-8)
    torch.testing.assert_close(scores["cost"], view.cost(demos).detach() / temperature)
    minimum = torch.zeros(()).double() if isinstance(view, GAN) else -expected
    torch.testing.assert_close(view.sampler_loss(demos), minimum, rtol=0, atol=1e-8)


def test_dividing_the_cost_is_the_temperature():
    """c/T in one view is c in another."""
    demos = demonstrations()
    hot, cold = build(GAN, temperature=2.0), build(GAN)
    with torch.no_grad():
        for parameter in list(cold.cost.network[-1].parameters()):
            parameter.div_(2)
    forward = cold.cost.forward
    cold.cost.forward = lambda samples: forward(samples) - cold.cost.anchor(samples)[1] / 2  # the anchor is halved too
    left, right = hot.cost_loss(demos, *draw(hot)), cold.cost_loss(demos, *draw(cold))
    torch.testing.assert_close(left, right)
    torch.testing.assert_close(hot.log_z, cold.log_z)


@pytest.mark.parametrize(
    ("view", "options"), [(GAN, {"generator_loss": loss}) for loss in GENERATOR_LOSSES] + [(EBM, {})]
)
def test_weights_add_exactly_their_terms(view, options):
    demos = demonstrations()

    def loss_of(**weights):
        built = build(view, **options, **weights)
        built.cost_loss(demos, *draw(built))
        return seeded(built.sampler_loss, demos), built

    base, built = loss_of()
    log_q = seeded(built.sampler.rsample, len(demos))[1]
    torch.testing.assert_close(loss_of(entropy_weight=1.7)[0] - base, 0.7 * log_q.mean())
    torch.testing.assert_close(loss_of(entropy_weight=0.0)[0] - base, -log_q.mean())
    likelihood = -built.sampler.log_prob(demos).mean()
    torch.testing.assert_close(loss_of(likelihood_weight=0.2)[0] - base, 0.2 * likelihood)


# ---- refusals


class Undifferentiable(GaussianSampler):
    has_rsample = False


MARGIN = {"discriminator": "margin", "margin": 1.0, "cost": autoencoder}
REFUSALS = [
    (GAN, GeneratorSampler, {}, ["GeneratorSampler has no density", "discriminator=plain", "FlowSampler"]),
    (EBM, GeneratorSampler, {}, ["GeneratorSampler has no density", "negative_phase=uniform", "FlowSampler"]),
    (EBM, GeneratorSampler, {"negative_phase": "mixture"}, ["no density", "negative_phase=mixture"]),
    (EBM, GeneratorSampler, {"negative_phase": "uniform"}, ["E_q[log q]", "entropy_weight=0"]),
    (GAN, GeneratorSampler, {"discriminator": "plain", "warm_start": 1}, ["no density", "warm_start", "FlowSampler"]),
    (GAN, GeneratorSampler, {"discriminator": "plain", "likelihood_weight": 1.0}, ["no density", "likelihood_weight"]),
    (GAN, GeneratorSampler, {"discriminator": "plain", "learner": ScoreFunction}, ["no density", "Reparameterised"]),
    (GAN, Undifferentiable, {}, ["Undifferentiable", "no differentiable draws", "ScoreFunction"]),
    (GAN, GaussianSampler, {"discriminator": "plain", "entropy_weight": 0.5}, ["entropy_weight is 0.5", "plain"]),
    (GAN, GaussianSampler, {"discriminator": "dense"}, ["discriminator is 'dense'", "density, plain, margin"]),
    (GAN, GaussianSampler, {"discriminator": "margin"}, ["margin is not given", "above 0"]),
    (GAN, GaussianSampler, {"discriminator": "margin", "margin": 0.0}, ["margin is 0.0", "above 0"]),
    (GAN, GaussianSampler, {"margin": 1.0}, ["margin is 1.0", "discriminator=margin"]),
    (GAN, GaussianSampler, {"discriminator": "plain", "margin": 1.0}, ["margin is 1.0", "discriminator=margin"]),
    (
        GAN,
        GaussianSampler,
        {"discriminator": "margin", "margin": 1.0},
        ["MLPCost", "AutoencoderCost", "is_nonnegative"],
    ),
    (GAN, GaussianSampler, MARGIN | {"entropy_weight": 0.5}, ["entropy_weight is 0.5", "discriminator=density"]),
    (
        GAN,
        GaussianSampler,
        MARGIN | {"generator_loss": "saturating"},
        ["is saturating", "is margin", "allowed there: sum"],
    ),
    (GAN, GaussianSampler, {"cost_steps": 0, "sampler_steps": 0}, ["nothing learns", "warm_start"]),
    (GAN, GaussianSampler, {"generator_loss": "both"}, ["generator_loss is 'both'", "sum, saturating, non_saturating"]),
    (GAN, GaussianSampler, {"log_z_by": "hand"}, ["log_z_by is 'hand'", "optimal, learned"]),
    (EBM, GaussianSampler, {"negative_phase": "cd"}, ["negative_phase is 'cd'", "importance, mixture, uniform"]),
    (EBM, GaussianSampler, {"p_hat": "best"}, ["p_hat is 'best'", "current, fitted", "class_path"]),
    (GAN, GaussianSampler, {"temperature": 0.0}, ["temperature is 0.0", "above 0"]),
    (GAN, GaussianSampler, {"cost_steps": -1}, ["must not be negative"]),
    (GAN, GaussianSampler, {"accumulate": 0}, ["accumulate is 0"]),
    (GAN, GaussianSampler, {"accumulate": 2, "sampler_steps": 2}, ["accumulate is 2", "sampler_steps 2"]),
    (GAN, GaussianSampler, {"warm_start": -1}, ["must not be negative"]),
]


@pytest.mark.parametrize(("view", "sampler", "options", "words"), REFUSALS)
def test_refusals_say_what_to_change(view, sampler, options, words):
    with pytest.raises(ValueError) as caught:
        view(EVENTS["real"], sampler=sampler, **{"cost": MLPCost} | options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_fixed_sampler_needs_no_differentiable_draws():
    assert GAN(EVENTS["real"], MLPCost, Undifferentiable, sampler_steps=0).sampler.has_density
    assert issubclass(Undifferentiable, Sampler)
