"""The rounds: who steps when, on what gradient, and what stops, continues or is saved."""

import copy
import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_irl.costs import AutoencoderCost, MLPCost, QuadraticCost, TiltedCost
from lightning_irl.mcmc import Chains
from lightning_irl.regularisers import CostOffset, EnergyMagnitude, GradientPenalty
from lightning_irl.samplers import DefensiveSampler, FlowSampler, GaussianMixtureSampler, GaussianSampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event
from lightning_irl.views import EBM, GAN
from lightning_irl.views.finite import NonFiniteError
from lightning_irl.views.health import CHECK_EVERY

EVENT = make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0])
MCMC = partial(EBM, negative_phase="mcmc", chains=partial(Chains, steps=2, buffer_size=64))
VIEWS = [GAN, partial(GAN, log_z_by="learned"), EBM, partial(EBM, negative_phase="mixture"), MCMC]
VIEW_IDS = ["GAN", "GAN-learned", "EBM", "EBM-mixture", "EBM-mcmc"]
every_view = pytest.mark.parametrize("view", VIEWS, ids=VIEW_IDS)
EVERY_REGULARISER = [
    *(partial(kind, weight=0.1) for kind in (CostOffset, EnergyMagnitude)),
    *(partial(GradientPenalty, weight=0.1, at=at) for at in ("demonstrations", "draws")),
    partial(GradientPenalty, weight=0.1, at="between", target=1),
]
SGD = partial(torch.optim.SGD, lr=0.1)


def build(view, **options):
    torch.manual_seed(0)
    options = {"cost_optimizer": SGD, "sampler_optimizer": SGD, "sampler": GaussianSampler} | options
    options = {"cost": partial(MLPCost, hidden=[8])} | getattr(view, "keywords", {}) | options
    return view(EVENT, **options)


def batches(num, size=32, poisoned=()):
    generator = torch.Generator().manual_seed(1)
    scale = torch.tensor(EVENT["scale"])
    made = []
    for index in range(num):
        samples = torch.tensor(EVENT["location"]) + scale * torch.randn(size, 2, generator=generator)
        made.append(Batch(samples * (math.nan if index in poisoned else 1), torch.zeros(size)))
    return made


def trainer(epochs=1, callbacks=(), **options):
    options = {"logger": False, "enable_checkpointing": False} | options
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )


def fit(view, data, epochs=1, callbacks=(), ckpt_path=None, **options):
    torch.manual_seed(2)
    made = trainer(epochs, callbacks, **options)
    made.fit(view, DataLoader(data, batch_size=None), ckpt_path=ckpt_path)
    return made


def parameters(module):
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])


class Steps(Callback):
    """Batch, name, and the gradients that each step of an optimizer sees."""

    def __init__(self):
        self.seen, self.own, self.others = [], [], []

    def on_before_optimizer_step(self, trainer, view, optimizer):
        name = "cost" if optimizer is trainer.optimizers[0] else "sampler"
        other = view.sampler if name == "cost" else view.cost
        self.seen.append((view._batch, name))
        self.own.append([parameter.grad for group in optimizer.param_groups for parameter in group["params"]])
        self.others.append([parameter.grad for parameter in other.parameters()])

    def at(self, name):
        return [batch for batch, which in self.seen if which == name]


class Seeds(Callback):
    """Random state a function of the batch, so that an interrupted fit can be compared with a whole one."""

    def on_train_batch_start(self, trainer, view, batch, batch_idx):
        torch.manual_seed(100 + view._batch)


# ---- who steps when


@every_view
def test_each_batch_steps_the_cost_and_then_the_sampler(view):
    steps = Steps()
    fit(build(view), batches(3), callbacks=[steps])
    assert steps.seen == [(0, "cost"), (0, "sampler"), (1, "cost"), (1, "sampler"), (2, "cost"), (2, "sampler")]


@every_view
def test_cost_steps_and_sampler_steps_count_a_round(view):
    steps = Steps()
    fit(build(view, cost_steps=3, sampler_steps=2), batches(7), callbacks=[steps])
    assert steps.at("cost") == list(range(7))
    assert steps.at("sampler") == [2, 2, 5, 5]


@every_view
def test_without_sampler_steps_the_sampler_stays(view):
    built = build(view, sampler_steps=0)
    sampler, cost = copy.deepcopy(built.sampler.state_dict()), parameters(built.cost)
    made = fit(built, batches(3))
    assert len(made.optimizers) == 1
    assert all(torch.equal(value, sampler[key]) for key, value in built.sampler.state_dict().items())
    assert not torch.equal(parameters(built.cost), cost)


@every_view
def test_the_partner_is_held_constant(view):
    steps = Steps()
    fit(build(view), batches(3), callbacks=[steps])
    assert all(
        gradient is not None and (gradient != 0).any() for own in steps.own for gradient in own if gradient.numel() > 1
    )
    assert all(gradient is None for others in steps.others for gradient in others)


@every_view
def test_parameters_are_free_again_after_a_step(view):
    built = build(view)
    next(iter(built.cost.parameters())).requires_grad_(False)  # frozen by its owner, and left so
    fit(built, batches(1))
    free = [parameter.requires_grad for parameter in [*built.cost.parameters(), *built.sampler.parameters()]]
    assert free == [False] + [True] * (len(free) - 1)


def test_a_learned_log_z_steps_on_the_discriminators_gradient_alone():
    """At a fixed pair the loss of the cost pulls log_z back to the solved one; the sampler's steps must not push it
    away.
    """
    built = build(
        partial(GAN, log_z_by="learned"),
        cost_optimizer=partial(torch.optim.SGD, lr=1e-9),
        sampler_optimizer=partial(torch.optim.SGD, lr=1e-9),
    )
    steps = Steps()
    fit(built, batches(6, size=512), callbacks=[steps])
    own = torch.stack([own[-1] for (_, name), own in zip(steps.seen, steps.own, strict=True) if name == "cost"])
    # E_p[1 - D] - E_q[D] at the first batch's root: zero, but for 4 standard errors of a difference of means of 512 in
    # [0, 1]
    assert own[0].abs() < 1e-5
    assert own.abs().max() < 4 * math.sqrt(2 * 0.25 / 512)


def test_warm_start_trains_the_sampler_alone_by_likelihood():
    built = build(GAN, warm_start=4)
    cost, before = parameters(built.cost), parameters(built.sampler)
    data, steps = batches(4), Steps()
    nll = [-built.sampler.log_prob(batch.samples).mean().item() for batch in data]
    fit(built, data, callbacks=[steps])
    assert steps.seen == [(batch, "sampler") for batch in range(4)]
    assert torch.equal(parameters(built.cost), cost)
    assert torch.isnan(built.log_z)
    assert not torch.equal(parameters(built.sampler), before)
    assert sum(-built.sampler.log_prob(batch.samples).mean().item() for batch in data) < sum(nll)


@pytest.mark.parametrize("view", [GAN, EBM])
def test_without_cost_and_sampler_steps_the_warm_start_is_all(view):
    """Maximum likelihood of the sampler alone; the cost that stands by is no model, and there is no log Z of it."""
    built, steps = build(view, cost_steps=0, sampler_steps=0, warm_start=3), Steps()
    cost = parameters(built.cost)
    made = fit(built, batches(5), callbacks=[steps])
    assert len(made.optimizers) == 1
    assert [batch for batch, _ in steps.seen] == [0, 1, 2]
    assert torch.equal(parameters(built.cost), cost)
    assert not built.has_model
    assert "likelihood alone" in " ".join(built.departures())


def test_warm_start_ends():
    steps = Steps()
    fit(build(EBM, warm_start=2), batches(4), callbacks=[steps])
    assert steps.seen == [(0, "sampler"), (1, "sampler"), (2, "cost"), (2, "sampler"), (3, "cost"), (3, "sampler")]


# ---- on what gradient


class Recording(EBM):
    """Keeps the gradient of each cost loss."""

    def cost_loss(self, demonstrations, samples, log_q):
        loss = super().cost_loss(demonstrations, samples, log_q)
        gradient = torch.autograd.grad(loss, list(self.cost.parameters()), retain_graph=True)
        self.kept = [*getattr(self, "kept", []), torch.cat([part.flatten() for part in gradient])]
        return loss


def test_accumulated_gradients_are_averaged():
    built, steps = build(Recording, accumulate=3), Steps()
    before = parameters(built.cost)
    fit(built, batches(3), callbacks=[steps])
    assert steps.seen == [(2, "cost"), (2, "sampler")]
    torch.testing.assert_close(before - parameters(built.cost), 0.1 * torch.stack(built.kept).mean(0))


def test_accumulation_counts_rounds_in_steps():
    steps = Steps()
    fit(build(EBM, accumulate=2, cost_steps=2), batches(8), callbacks=[steps])
    assert steps.at("cost") == [1, 3, 5, 7]
    assert steps.at("sampler") == [3, 7]


def test_clip_norm_shortens_the_step_and_keeps_its_direction():
    built = build(Recording, clip_norm=0.01)
    before = parameters(built.cost)
    fit(built, batches(1))
    step = (before - parameters(built.cost)) / 0.1
    assert built.kept[0].norm() > 0.02
    torch.testing.assert_close(step.norm(), torch.tensor(0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(step, 0.01 * built.kept[0] / built.kept[0].norm(), rtol=1e-3, atol=1e-6)


def test_clip_norm_leaves_a_short_step_alone():
    built = build(Recording, clip_norm=1e3)
    before = parameters(built.cost)
    fit(built, batches(1))
    torch.testing.assert_close((before - parameters(built.cost)) / 0.1, built.kept[0], rtol=1e-3, atol=1e-6)


def test_schedules_step_once_a_batch():
    schedule = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    made = fit(build(GAN, cost_scheduler=schedule, sampler_scheduler=schedule, cost_steps=2), batches(3))
    assert [optimizer.param_groups[0]["lr"] for optimizer in made.optimizers] == pytest.approx([0.0125, 0.0125])


def test_a_subclass_with_its_own_cost_loss():
    class Squares(EBM):
        def cost_loss(self, demonstrations, samples, log_q):
            self.given = demonstrations, samples
            return self.energy(demonstrations).square().mean() + self.energy(samples).mean()

    built = build(Squares, num_samples=5)
    cost = copy.deepcopy(built.cost)
    fit(built, batches(1))
    demonstrations, samples = built.given
    assert samples.shape == (5, 2)
    loss = cost(demonstrations).square().mean() + cost(samples).mean()
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(cost.parameters()))])
    torch.testing.assert_close(parameters(cost) - parameters(built.cost), 0.1 * gradient)
    assert torch.isnan(built.log_z)


# ---- what stops


class BadGradient(EBM):
    """A finite loss with an infinite gradient at batch 3."""

    def cost_loss(self, demonstrations, samples, log_q):
        loss = super().cost_loss(demonstrations, samples, log_q)
        if self._batch == 3:
            loss = loss + sum(parameter.sum() * 0 for parameter in self.cost.parameters()).sqrt()
        return loss


class Steep(EBM):
    def cost_loss(self, demonstrations, samples, log_q):
        return 100 * super().cost_loss(demonstrations, samples, log_q)

    def sampler_loss(self, demonstrations):
        return 100 * super().sampler_loss(demonstrations)


class BadSampler(EBM):
    def sampler_loss(self, demonstrations):
        return super().sampler_loss(demonstrations) * (math.inf if self._batch == 3 else 1)


@pytest.mark.parametrize(
    ("view", "poisoned", "term"),
    [
        (GAN, [3], "loss/cost"),
        (EBM, [3], "loss/cost"),
        (BadSampler, [], "loss/sampler"),
        (BadGradient, [], "gradient/cost"),
    ],
)
def test_a_value_that_is_not_finite_stops_with_its_batch_and_its_cause(view, poisoned, term):
    with pytest.raises(NonFiniteError, match=rf"^{term} was not finite at batch 3;"):
        fit(build(view), batches(5, poisoned=poisoned))


def test_it_stops_at_the_next_check():
    steps = Steps()
    with pytest.raises(NonFiniteError, match="at batch 1;"):
        fit(build(EBM), batches(CHECK_EVERY + 9, size=4, poisoned=[1]), callbacks=[steps])
    assert steps.seen[-1] == (CHECK_EVERY - 1, "sampler")


@every_view
def test_the_last_good_checkpoint_stays(view, tmp_path):
    """Saved after every batch over the same file; the fourth batch is bad."""
    saver = ModelCheckpoint(
        tmp_path,
        "good",
        every_n_train_steps=1,
        save_last=False,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    with pytest.raises(NonFiniteError, match=r"before it is good: \S+good.ckpt\."):
        fit(build(view), batches(5, poisoned=[3]), callbacks=[saver], enable_checkpointing=True)
    assert [path.name for path in tmp_path.iterdir()] == ["good.ckpt"]
    checkpoint = torch.load(tmp_path / "good.ckpt", weights_only=True)
    assert checkpoint["batches"] == 3
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())


@pytest.mark.parametrize("name", ["cost", "sampler"])
def test_parameters_that_overflow_are_not_saved(name, tmp_path):
    """A finite gradient times a huge learning rate: no loss has seen the parameters when the checkpoint is due."""
    options = {f"{name}_optimizer": partial(torch.optim.SGD, lr=3e38), "sampler_steps": int(name == "sampler")}
    saver = ModelCheckpoint(tmp_path, "good", every_n_train_steps=1, save_on_train_epoch_end=False)
    with pytest.raises(NonFiniteError, match=r"from here on\. Lower"):  # nothing was saved, and nothing is called good
        fit(build(Steep, **options), batches(1), callbacks=[saver], enable_checkpointing=True)
    assert not list(tmp_path.iterdir())


# ---- what stands still


def at_its_bound(view=EBM, **options):
    """A pair whose cost is so far beyond its bound that it has no slope."""
    tilted = partial(TiltedCost, cost=partial(MLPCost, hidden=[8]), bound=2.0)
    built = build(view, cost=tilted, sampler_steps=0, cost_optimizer=partial(torch.optim.Adam, lr=0.05), **options)
    with torch.no_grad():
        list(built.cost.tilt.parameters())[-1].add_(40)
    return built


@pytest.mark.long
@pytest.mark.parametrize("view", [EBM, GAN, MCMC], ids=["EBM", "GAN", "EBM-mcmc"])
def test_a_cost_that_learns_nothing_is_said_to(view):
    built, num = at_its_bound(view), 2 * CHECK_EVERY
    before = parameters(built.cost)
    with pytest.warns(UserWarning, match=r"cost's gradient has been exactly 0 since batch 0: .* CostOffset"):
        fit(built, batches(num, size=4))
    torch.testing.assert_close(parameters(built.cost), before, rtol=0, atol=0)
    (line,) = built.standstills()
    assert "since batch 0:" in line


def test_one_that_learns_is_not_and_a_few_batches_say_nothing():
    learns, short = build(EBM), at_its_bound()
    fit(learns, batches(CHECK_EVERY + 2, size=4))
    fit(short, batches(CHECK_EVERY - 1, size=4))
    assert learns.standstills() == short.standstills() == []


@pytest.mark.long
@pytest.mark.parametrize("view", [EBM, GAN, MCMC], ids=["EBM", "GAN", "EBM-mcmc"])
def test_an_offset_that_is_held_comes_back_from_the_bound(view):
    built, data = at_its_bound(view, regularisers=[partial(CostOffset, weight=1.0)]), batches(4 * CHECK_EVERY, size=64)
    fit(built, data)
    assert built.standstills() == []
    assert built.cost.tilt(data[0].samples).mean().abs() < 10  # it was above 40


def test_accumulated_steps_count_by_their_batches():
    built = at_its_bound(accumulate=3)
    fit(built, batches(2 * CHECK_EVERY, size=4))
    (line,) = built.standstills()
    assert "since batch 2:" in line


# ---- what continues


@every_view
def test_a_resumed_fit_continues(view, tmp_path):
    """Three batches, saved, and three more in another process's stead, against six at once: bit for bit."""
    adam = {"cost_optimizer": torch.optim.Adam, "sampler_optimizer": torch.optim.Adam, "warm_start": 1, "cost_steps": 2}
    whole, first, second, steps = build(view, **adam), build(view, **adam), build(view, **adam), Steps()
    fit(whole, batches(3), epochs=2, callbacks=[Seeds()])
    made = fit(first, batches(3), callbacks=[Seeds()])
    made.save_checkpoint(tmp_path / "half.ckpt")
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(1.0)
    fit(second, batches(3), epochs=2, callbacks=[Seeds(), steps], ckpt_path=tmp_path / "half.ckpt")
    assert second._batch == 6
    assert steps.at("cost") == [3, 4, 5]  # no second warm start
    assert steps.at("sampler") == [4]  # rounds of two since the warm start: batches 2 and 4
    for module in ("cost", "sampler"):
        assert not torch.equal(parameters(getattr(whole, module)), parameters(getattr(first, module)))
        assert torch.equal(parameters(getattr(whole, module)), parameters(getattr(second, module)))
    assert torch.equal(whole.log_z.detach(), second.log_z.detach())


@pytest.mark.long
@pytest.mark.parametrize("source", VIEWS, ids=VIEW_IDS)
@pytest.mark.parametrize("target", VIEWS, ids=VIEW_IDS)
def test_a_checkpoint_of_one_view_continues_in_another(source, target, tmp_path):
    trained, other = build(source), build(target, temperature=1.0)
    made = fit(trained, batches(2))
    made.save_checkpoint(tmp_path / "pair.ckpt")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.init_from(str(tmp_path / "pair.ckpt"))
    for module in ("cost", "sampler"):
        for key, value in getattr(trained, module).state_dict().items():
            assert torch.equal(getattr(other, module).state_dict()[key], value), key
    assert torch.equal(other.log_z.detach(), trained.log_z.detach())
    assert torch.isfinite(other.log_z)
    assert isinstance(other.log_z, torch.nn.Parameter) == (target is VIEWS[1])
    fit(other, batches(2))


def test_a_tilted_cost_keeps_its_reference_in_another_view(tmp_path):
    """Its reference is the sampler of the first fit's start, which the sampler has left since; the cost must not
    change.
    """
    options = {"cost_optimizer": partial(torch.optim.SGD, lr=0.0), "sampler_optimizer": SGD}
    tilted = partial(TiltedCost, cost=MLPCost)
    torch.manual_seed(0)
    first = GAN(EVENT, tilted, GaussianSampler, **options)
    made = fit(first, batches(4))
    made.save_checkpoint(tmp_path / "pair.ckpt")
    samples = batches(1)[0].samples
    expected = first.cost(samples)
    second = EBM(EVENT, tilted, GaussianSampler, **options)
    second.init_from(str(tmp_path / "pair.ckpt"))
    torch.testing.assert_close(second.cost(samples), expected, rtol=0, atol=0)
    fit(second, batches(2))
    torch.testing.assert_close(second.cost(samples), expected, rtol=0, atol=0)


def test_a_tilted_cost_is_relative_to_the_warm_started_sampler():
    torch.manual_seed(0)
    built = GAN(EVENT, partial(TiltedCost, cost=MLPCost), GaussianSampler, warm_start=3, sampler_optimizer=SGD)
    start = parameters(built.sampler)
    fit(built, batches(3))
    warm = parameters(built.sampler)
    assert not torch.equal(warm, start)
    fit(built, batches(2))
    assert not torch.equal(parameters(built.sampler), warm)
    assert torch.equal(parameters(built.cost.reference), warm)


@pytest.mark.parametrize(
    ("part", "changes"),
    [("cost", {"cost": partial(MLPCost, hidden=[9])}), ("sampler", {"sampler": FlowSampler})],
)
def test_a_pair_of_another_architecture_is_refused(part, changes, tmp_path):
    made = fit(build(GAN), batches(1))
    made.save_checkpoint(tmp_path / "pair.ckpt")
    factories = {"cost": partial(MLPCost, hidden=[8]), "sampler": GaussianSampler} | changes
    with pytest.raises(
        ValueError, match=f"the {part} in .*pair.ckpt is not this {type(factories[part](EVENT)).__name__}"
    ):
        EBM(EVENT, **factories).init_from(str(tmp_path / "pair.ckpt"))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    view, path = build(EBM), tmp_path / "pair.ckpt"
    with pytest.raises(ValueError, match=r"no checkpoint .*absent"):
        view.init_from(str(tmp_path / "absent.ckpt"))
    made = fit(build(GAN), batches(1))
    made.save_checkpoint(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"pair\.ckpt is truncated or no checkpoint"):
            view.init_from(str(path))
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is not the checkpoint of a view"):
        view.init_from(str(path))


# ---- what waits for the device


SAMPLERS = {
    "gaussian": GaussianSampler,
    "mixture": partial(GaussianMixtureSampler, components=2),
    "flow": partial(FlowSampler, transforms=1, hidden=[4]),
    "defensive": partial(DefensiveSampler, sampler=GaussianSampler),
}


def test_the_counter_counts(host_reads):
    reads = host_reads
    with reads:
        reads.is_on = True
        x = torch.arange(3.0)
        reading = [
            lambda: x.sum().item(),
            lambda: bool(x.any()),
            lambda: x[x > 1],
            x.tolist,
            x.nonzero,
            lambda: int(x[0]),
        ]
        for read in reading:
            before = reads.count
            read()
            assert reads.count > before
        before = reads.count
        _ = x[torch.tensor([0, 1])] + 1
        assert reads.count == before


@pytest.mark.long
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "view",
    [
        *VIEWS,
        partial(EBM, negative_phase="mixture", p_hat="fitted"),
        partial(EBM, negative_phase="mixture", p_hat=GaussianSampler),
        partial(GAN, regularisers=EVERY_REGULARISER),
        partial(GAN, discriminator="margin", margin=2.0, cost=AutoencoderCost),
    ],
    ids=[*VIEW_IDS, "EBM-fitted", "EBM-given", "GAN-regularised", "GAN-margin"],
)
def test_a_training_step_reads_nothing_back(view, sampler, host_reads, monkeypatch):
    """Optimizers apart: plain SGD reads nothing. Logging is due in every step. The record is read at the last."""
    built = build(view, sampler=SAMPLERS[sampler], clip_norm=1.0)
    monkeypatch.setattr("lightning_irl.views.loop.CHECK_EVERY", 4)
    with host_reads.of_steps(built) as counts:
        fit(built, batches(4, size=16), log_every_n_steps=1)
    assert counts[:3] == [0, 0, 0]
    assert counts[3] > 0


# ---- a known answer


@pytest.mark.long
@pytest.mark.parametrize(
    "view",
    [partial(GAN, log_z_by="optimal"), partial(GAN, log_z_by="learned"), EBM, partial(EBM, negative_phase="mixture")],
    ids=["GAN", "GAN-learned", "EBM", "EBM-mixture"],
)
def test_a_quadratic_cost_learns_a_skewed_gaussian(view):
    """Mean, precision and log Z of 4,096 demonstrations of a skewed Gaussian, from a start that knows only their scale.

    The estimates' standard errors are those of maximum likelihood, sigma / sqrt(N) of a mean and sqrt(2 / N) relative
    of a variance, times sqrt(2) for noise-contrastive estimation with as many draws as demonstrations (Gutmann and
    Hyvarinen 2012); 4 of them. The sampler is held to the cost's Gaussian, and log_z, which is a batch's estimate, to
    its closed form: with parameters of q off the model's by a relative 0.02, log weights have a standard deviation of
    about 0.05, and their mean over 512 draws one of 0.002; 0.02 also allows for the lag of a learned log_z.
    """
    num = 4096
    truth = torch.distributions.MultivariateNormal(
        torch.tensor([1.0, -2.0]), torch.tensor([[0.25, 1.2], [1.2, 9.0]])
    )  # correlation 0.8
    torch.manual_seed(7)
    data = truth.sample((num,))
    event = make_event("point", [2], location=data.mean(0).tolist(), scale=data.std(0).tolist())
    torch.manual_seed(0)
    steps = 304
    anneal = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=steps)
    adam = partial(torch.optim.Adam, lr=0.03)
    built = view(
        event,
        QuadraticCost,
        GaussianSampler,
        cost_optimizer=adam,
        sampler_optimizer=adam,
        cost_scheduler=anneal,
        sampler_scheduler=anneal,
    )
    made = []
    for _ in range(steps // 8):
        made += [Batch(samples, torch.zeros(512)) for samples in data[torch.randperm(num)].split(512)]
    fit(built, made)
    cost = built.cost
    with torch.no_grad():
        root = cost.off_diagonal.tril(-1) + torch.diag(cost.log_diagonal.exp())
        covariance = torch.linalg.inv(root @ root.T)
        sigma = truth.covariance_matrix.diagonal().sqrt()
        assert ((cost.mean - truth.mean).abs() / sigma).max() < 4 * math.sqrt(2 / num)
        relative = (covariance - truth.covariance_matrix) / torch.outer(sigma, sigma)
        assert relative.abs().max() < 4 * math.sqrt(2) * math.sqrt(2 / num)
        sampler_covariance = built.sampler.root() @ built.sampler.root().T
        assert ((sampler_covariance - covariance) / torch.outer(sigma, sigma)).abs().max() < 0.05
        assert abs(built.log_z - cost.log_z()) < 0.02
