"""Every scalar that docs/keys.md names can be monitored by EarlyStopping and ModelCheckpoint, in a run that has it."""

import json
import re
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from lightning_irl.callbacks import (
    LogEquivalence,
    LogImitation,
    LogOutOfDistribution,
    LogPartition,
    LogQuality,
    Report,
    partition,
)
from lightning_irl.callbacks.publish import publish_scalars
from lightning_irl.costs import MLPCost, MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import ArrayDataModule, DigitsDataModule, ToyDataModule, TrajectoryDataModule
from lightning_irl.environments import Pendulum
from lightning_irl.errors import UserError
from lightning_irl.learners import PPO
from lightning_irl.mcmc import Chains, Langevin
from lightning_irl.metrics import FeatureNetwork, save_features
from lightning_irl.partition.methods import METHODS
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.regularisers import CostOffset, EnergyMagnitude, GradientPenalty
from lightning_irl.samplers import GaussianSampler, GeneratorSampler, PolicySampler
from lightning_irl.views import EBM, GAN, IRL

NETWORK = "untrained"
SOURCES = ("held_out", "sampler", "model")
PLACEHOLDERS = {"STAGE": "val", "METHOD": "[a-z_]+", "PLACE": "[a-z]+", "NETWORK": NETWORK, "SOURCE": "[a-z_]+"}
cost = partial(MLPCost, hidden=[4])


def documented():
    """Keys of scalars in the table of docs/keys.md."""
    text = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines() if line.startswith("| `")]
    return [
        key for keys, unit in rows if unit not in ("image", "video", "table") for key in re.findall("`(.+?)`", keys)
    ]


def points():
    data = ToyDataModule(train_size=128, val_size=64, test_size=16, batch_size=32, steps_per_epoch=2)
    terms = [partial(term, weight=0.1) for term in (CostOffset, EnergyMagnitude)]
    terms.append(partial(GradientPenalty, weight=0.1, at="demonstrations"))
    view = GAN(data.event, cost, GaussianSampler, warm_start=1, regularisers=terms)
    estimates = LogPartition(num_samples=64, num_chains=16, num_temperatures=8, methods=METHODS)
    return view, data, [estimates, LogEquivalence(100), LearningRateMonitor()]


def chains():
    data = ToyDataModule(train_size=64, val_size=16, test_size=16, batch_size=16, steps_per_epoch=2)
    made = partial(Chains, kernel=Langevin(0.05), steps=2, start="sampler")
    return EBM(data.event, cost, GaussianSampler, negative_phase="mcmc", chains=made), data, []


def images():
    data = DigitsDataModule(batch_size=32, steps_per_epoch=2)
    path = Path(mkdtemp()) / "network.pt"
    save_features(FeatureNetwork([1, 8, 8], 10, NETWORK), path)
    quality = LogQuality(num_samples=16, num_training=64, pool=2, moves=1, features=str(path))
    return GAN(data.event, cost, GaussianSampler), data, [quality, LogOutOfDistribution(DigitsDataModule(), 32)]


def two_pixels():
    """Images so small that log Z is known."""
    pixels = np.random.default_rng(0).integers(0, 4, (96, 1, 1, 2)).astype(np.uint8)
    data = ArrayDataModule(pixels, levels=4, batch_size=32, steps_per_epoch=1)
    return GAN(data.event, cost, GaussianSampler), data, [LogPartition(num_samples=64, methods=["quadrature"])]


def trajectories(level="trajectory"):
    data = TrajectoryDataModule("pendulum", num_demonstrations=6, steps_per_epoch=1)
    view = IRL(
        data.event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8])),
        partial(PolicySampler, environment=Pendulum(), policy=ClippedGaussianPolicy),
        learner=PPO,
        num_samples=8,
        level=level,
    )
    reports = [LogImitation(every_n_batches=1000, num_episodes=4, random_return=-1500.0)]
    return view, data, reports if level == "trajectory" else []


RUNS = {
    points: [
        *(f"loss/{name}" for name in ("cost", "sampler", "warm_start")),
        *(f"gradient/{name}_norm" for name in ("cost", "sampler", "warm_start")),
        *(f"lr-{name}" for name in ("cost", "sampler", "warm_start")),
        *(f"loss/{name}" for name in ("cost_offset", "energy_magnitude", "gradient_penalty_demonstrations")),
        *(f"partition/{kind}_{name}" for kind in ("log_z", "stderr", "reliable") for name in METHODS),
        *(f"equivalence/{name}" for name in ("log_z_gap", "gradient_cosine", "gradient_distance")),
        *("partition/log_z_training", "partition/ess", "partition/k_hat", "equivalence/generator_loss_gap"),
        *("val/cost", "val/nll_sampler", "val/nll_model", "val/nll_stderr", "kl/model", "kl/sampler"),
    ],
    chains: ["chains/acceptance", "chains/step_size"],
    two_pixels: ["val/log_det", *(f"val/bits_per_dim_{name}" for name in ("sampler", "model", "stderr"))],
    images: [
        *(f"quality/{measure}/{source}" for measure in (f"frechet_{NETWORK}", "mmd") for source in SOURCES),
        *(f"quality/kernel_{NETWORK}{error}/sampler" for error in ("", "_stderr")),
        *(f"quality/{name}/held_out" for name in ("mmd_stderr", f"frechet_{NETWORK}_stderr", "nearest_median")),
        *("quality/least_class_share/sampler", "quality/confidence_ratio/sampler", "quality/accuracy"),
        *("quality/nearest_of_training", "quality/ess", "quality/acceptance"),
        *(f"ood/auroc_{score}" for score in ("energy", "sampler", "ratio")),
    ],
    trajectories: [
        "environment_steps",
        *(f"imitation/{name}" for name in ("return", "return_mode", "return_stderr", "return_mode_stderr")),
        *(f"imitation/{name}" for name in ("normalised_return", "normalised_return_mode", "reward_correlation")),
        *(f"imitation/{name}" for name in ("epic_distance", "feature_gap", "visitation_distance")),
        *(f"imitation/{name}" for name in ("accuracy_demonstrations", "accuracy_sampler", "discriminator_gap")),
        *(f"imitation/{name}" for name in ("soft_value", "soft_value_stderr", "discriminator_loss")),
    ],
    partial(trajectories, "transition"): ["partition/log_z_transition_training"],
    partial(trajectories, 5): ["partition/log_z_segment_training"],
}


def fit(made, callbacks, epochs=1, folder=None, **options):
    pl.seed_everything(0)
    view, data, reports = made()
    folder = folder or mkdtemp()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=1,
        callbacks=[*callbacks, *reports],  # what monitors stands before what it monitors
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(view, data)
    return trainer


def quick(methods=("quadrature",), sampler=GaussianSampler, **options):
    """A fit that takes little more than its start."""
    data = ToyDataModule(train_size=64, val_size=16, test_size=16, batch_size=16, steps_per_epoch=1)
    return GAN(data.event, cost, sampler, **options), data, [LogPartition(num_samples=64, methods=methods)]


@cache
def monitored(made):
    """A fit with both callbacks for each of its keys."""
    keys = RUNS[made]
    keep = {key: ModelCheckpoint(monitor=key, filename=str(place)) for place, key in enumerate(keys)}
    stop = {key: EarlyStopping(key, patience=100) for key in keys}
    fit(made, [*stop.values(), *keep.values()])
    return stop, keep


@pytest.mark.long
@pytest.mark.parametrize("name", documented())
def test_every_documented_scalar_can_be_monitored(name):
    pattern = re.compile(re.sub("|".join(PLACEHOLDERS), lambda found: PLACEHOLDERS[found[0]], name))
    found = [(made, key) for made, keys in RUNS.items() for key in keys if pattern.fullmatch(key)]
    assert found, f"no run here has {name}"
    for made, key in found:
        stop, keep = monitored(made)
        assert torch.isfinite(stop[key].best_score), key
        assert torch.isfinite(keep[key].best_model_score), key
        assert Path(keep[key].best_model_path).is_file()


@pytest.mark.parametrize(
    ("key", "made", "reports", "said"),
    [
        ("test/cost", quick, [], "exists only in test; allowed: with validation val/cost.*val/nll_model"),
        ("kl/model", partial(quick, sampler=GeneratorSampler, discriminator="plain"), [], "has no density"),
        ("partition/log_z_bridge", quick, [], "partition.methods makes estimates by quadrature alone"),
        ("partition/log_z_transition_training", quick, [], "this view's own is partition/log_z_training"),
        ("imitation/return", quick, [LogImitation()], "sampler GaussianSampler is no policy"),
        ("imitation/return", quick, [], "callback LogImitation makes it, which the trainer does not have"),
        ("quality/ess", quick, [LogQuality()], "quality.num_samples is 0"),
        ("quality/ess", quick, [LogQuality(16)], "samples are no images"),
        ("ood/auroc_ratio", quick, [LogOutOfDistribution()], "ood.data is not given"),
        ("val/bits_per_dim_model", quick, [], "bits are of images"),
        ("gradient/sampler_norm", partial(quick, sampler_steps=0), [], "model.sampler_steps is 0"),
        ("environment_steps", quick, [], "samples are no trajectories"),
    ],
)
def test_what_a_run_cannot_have_is_refused_before_training(key, made, reports, said):
    with pytest.raises(UserError, match=f"ModelCheckpoint monitors {key}, which this run does not have: .*{said}"):
        fit(made, [*reports, ModelCheckpoint(monitor=key)])


def test_a_report_needs_validation():
    with pytest.raises(UserError, match=r"kl/model.* trainer.limit_val_batches is 0"):
        fit(quick, [EarlyStopping("kl/model")], limit_val_batches=0)


def test_what_is_not_known_neither_stops_a_run_nor_is_the_best(monkeypatch):
    known, calls = partition.best_estimate, []

    def late(estimates):
        calls.append(len(estimates))
        return known(estimates) if len(calls) > 2 else None

    monkeypatch.setattr(partition, "best_estimate", late)
    keep, stop = (
        ModelCheckpoint(monitor="val/nll_model", filename="{epoch}"),
        EarlyStopping("val/nll_model", patience=1),
    )
    with pytest.warns(UserWarning, match=r"val/nll_model, which has no value at batch 1: EarlyStopping waits"):
        trainer = fit(quick, [keep, stop], epochs=3)
    assert trainer.current_epoch == 3
    assert Path(keep.best_model_path).name == "epoch=2.ckpt"
    assert stop.best_score == keep.best_model_score == trainer.callback_metrics["val/nll_model"]


@pytest.mark.long
def test_monitoring_changes_neither_the_run_nor_its_reports(tmp_path):
    trainers = [
        fit(quick, callbacks, epochs=2, folder=tmp_path / name, enable_checkpointing=False)
        for name, callbacks in (("seen", [EarlyStopping("val/nll_model")]), ("unseen", []))
    ]
    seen, unseen = (trainer.lightning_module.state_dict() for trainer in trainers)
    assert all(torch.equal(value, seen[key]) for key, value in unseen.items())
    reports = [json.loads((tmp_path / name / "partition_val.json").read_text()) for name in ("seen", "unseen")]
    assert reports[0] == reports[1]


class Mine(Report):
    """A number of a user's own, better in every epoch."""

    def on_validation_epoch_end(self, trainer, pl_module):
        publish_scalars(trainer, {"mine/score": trainer.current_epoch}, pl_module.batches)


def test_a_report_of_a_users_own_can_be_monitored():
    keep = ModelCheckpoint(monitor="mine/score", mode="max", filename="{epoch}-{mine/score:.0f}")
    fit(quick, [keep, Mine()], epochs=2)
    assert keep.best_model_path.endswith("epoch=1-mine/score=1.ckpt")
