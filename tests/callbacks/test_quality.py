"""Reports on images: documented numbers, figures, a network in a file, and silence where they do not apply."""

import csv
import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from lightning_irl.callbacks import LogOutOfDistribution, LogQuality, LogSamples, Summary
from lightning_irl.callbacks.image_figures import chain_figure, histogram_figure
from lightning_irl.callbacks.quality import data_name, interpolations, training_images
from lightning_irl.costs import ConvCost, MLPCost
from lightning_irl.datamodules import ArrayDataModule, DigitsDataModule, ToyDataModule
from lightning_irl.datamodules.memory import Splits
from lightning_irl.errors import UserError
from lightning_irl.metrics import FeatureNetwork, load_features, save_features
from lightning_irl.samplers import GaussianMixtureSampler, GeneratorSampler
from lightning_irl.views import GAN

DOCUMENTED = (Path(__file__).parent.parent.parent / "docs" / "keys.md").read_text()


def run(folder, callbacks, data=None, cost=ConvCost, sampler=GaussianMixtureSampler, **options):
    data = data or DigitsDataModule(batch_size=64, steps_per_epoch=2)
    pl.seed_everything(0)
    model = GAN(data.event, cost, sampler, **options)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=folder,
        log_every_n_steps=1,
        logger=[CSVLogger(folder, name="", version="")],
        callbacks=[*callbacks, Summary()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    return model, trainer, data


def logged(folder):
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows if row[key]] for key in rows[0]}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network's file, not trained: a report's plumbing does not depend on what it has learned."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "network.pt"
    save_features(FeatureNetwork([1, 8, 8], 10, "digits-8x8-cnn64-untrained"), path)
    return str(path)


def other_digits(folder, side=8, low=0.0, high=1.0):
    """Noise in place of digits."""
    np.save(folder / "noise.npy", low + (high - low) * np.random.default_rng(0).random((400, 1, side, side)))
    return ArrayDataModule(str(folder / "noise.npy"), low=low, high=high)


@pytest.mark.long
def test_two_epochs_on_digits_leave_documented_numbers_and_figures(tmp_path, capsys):
    other = LogOutOfDistribution(other_digits(tmp_path), num_samples=200)
    quality = LogQuality(num_samples=400, every_n_epochs=1, moves=3)  # two groups of 200
    _, trainer, data = run(tmp_path, [quality, other])
    values = logged(tmp_path)
    name = "digits-8x8-cnn64-seed0"
    assert {f"quality/frechet_{name}/{source}" for source in ("held_out", "sampler", "model")} <= set(values)
    assert {len(values[key]) for key in values if key.startswith("quality/")} == {2}
    assert values["quality/accuracy"][-1] > 0.95
    assert {f"ood/auroc_{score}" for score in ("energy", "sampler", "ratio")} <= set(values)
    for key in set(values) - {"step", "epoch"}:
        known = re.sub(r"^(quality/.*)/(held_out|sampler|model)$", r"\1/SOURCE", key.replace("val/", "STAGE/"))
        known = known.replace(name, "NETWORK")
        assert f"`{known}`" in DOCUMENTED, f"{key} is not in docs/keys.md"
    for key in ("quality/neighbours", "quality/interpolation", "ood/energy_histogram"):
        figure = max(tmp_path.glob(f"figures/{key}/*.png"))
        assert figure.stem == "0000004"
        assert matplotlib.image.imread(figure).std() > 0.05
        assert f"`{key}`" in DOCUMENTED
    assert load_features(tmp_path / "features" / f"{name}.pt").name == name
    report = json.loads((tmp_path / "quality_val.json").read_text())
    assert report["network"] == name
    assert report["group"] == 200
    said = capsys.readouterr().out
    assert f"features by {name}" in said
    assert "area under the ROC curve" in said
    # draws of a sampler after four batches are far from digits, and a perfect sampler scores the held-out images'
    # number
    assert values[f"quality/frechet_{name}/sampler"][-1] > 5 * values[f"quality/frechet_{name}/held_out"][-1]
    trainer.test(trainer.lightning_module, data, verbose=False)
    assert json.loads((tmp_path / "quality_test.json").read_text())["network"] == name


@pytest.mark.long
def test_looking_does_not_change_what_is_trained(tmp_path, network):
    other = LogOutOfDistribution(other_digits(tmp_path), num_samples=50)
    quality = LogQuality(num_samples=50, every_n_epochs=1, features=network, moves=3)
    looked, _, _ = run(tmp_path / "looked", [quality, other])
    unseen, _, _ = run(tmp_path / "unseen", [])
    for key, value in unseen.state_dict().items():
        assert torch.equal(value, looked.state_dict()[key]), key


class StretchedSampler(GaussianMixtureSampler):
    """Has base coordinates, in which a straight way is a curve in pixels: their squares."""

    def to_base(self, samples):
        return samples.flatten(1).square(), samples.new_zeros(len(samples))

    def from_base(self, base):
        return base.sqrt().view(-1, *self.shape), base.new_zeros(len(base))


def test_interpolations_are_straight_in_the_samplers_base_where_it_has_one():
    data = DigitsDataModule()
    images = (data.splits.test + 0.5) / 17
    torch.manual_seed(0)
    chosen = images[torch.randperm(200)[:10]]
    for sampler, middle in (
        (StretchedSampler, ((chosen[0].square() + chosen[5].square()) / 2).sqrt()),
        (GaussianMixtureSampler, (chosen[0] + chosen[5]) / 2),
    ):
        torch.manual_seed(0)
        view = GAN(data.event, MLPCost, sampler)
        torch.manual_seed(0)
        with torch.no_grad():
            figure = interpolations(view, images)
        picture = torch.as_tensor(figure.axes[0].images[0].get_array().data)[1:-1]
        assert len(figure.axes) == 5
        torch.testing.assert_close(picture[:, 51:59], middle[0])  # the sixth of eleven tiles of ten pixels
        assert ("the sampler's base" in figure.get_suptitle()) is (sampler is StretchedSampler)


def test_attributes_are_no_classes():
    data = DigitsDataModule()
    data.labels = Splits(*(torch.zeros(len(part), 40) for part in data.splits))
    data.name = "fashion_mnist"
    assert training_images(data, 5)[1] is None
    assert data_name(data) == "fashionmnist"


@pytest.mark.long
def test_more_sources_are_judged_by_name(tmp_path, network):
    quality = LogQuality(num_samples=60, features=network)
    view, trainer, data = run(tmp_path, [quality])
    chains = (data.splits.test[:80] + 0.5) / 17
    with torch.no_grad():
        quality.look(trainer, view, "val", {"chains": chains})
    assert quality.results["quality/nearest_median/chains"] < quality.results["quality/nearest_median/sampler"]


@pytest.mark.long
def test_off_by_default_and_silent_on_points_and_without_density(tmp_path, network):
    run(tmp_path / "off", [LogQuality(), LogOutOfDistribution()])
    data = ToyDataModule(train_size=256, val_size=128, test_size=64, batch_size=64)
    run(tmp_path / "points", [LogQuality(num_samples=50)], data=data, cost=MLPCost)
    for name in ("off", "points"):
        assert not any(key.startswith(("quality", "ood")) for key in logged(tmp_path / name))
    quality = LogQuality(num_samples=50, features=network)
    other = LogOutOfDistribution(other_digits(tmp_path), num_samples=50)
    run(tmp_path / "plain", [quality, other], sampler=GeneratorSampler, discriminator="plain")
    keys = set(logged(tmp_path / "plain"))
    assert "quality/mmd/sampler" in keys
    assert "ood/auroc_energy" in keys
    assert not any(key.endswith("/model") or key in ("ood/auroc_sampler", "ood/auroc_ratio") for key in keys)


def test_labels_go_with_their_images():
    data = DigitsDataModule()
    images, labels = training_images(data, None)
    order = [(data.splits.train == (image * 17).floor()).flatten(1).all(1).nonzero()[0, 0] for image in images[:20]]
    assert data.labels.train[torch.stack(order)].tolist() == labels[:20].tolist()
    few, their = training_images(data, 7)
    assert len(few) == len(their) == 7


def test_what_does_not_fit_is_said_before_training(tmp_path):
    with pytest.raises(UserError, match=r"ood.data: ArrayDataModule serves samples of shape \[1, 9, 9\].*\[1, 8, 8\]"):
        run(tmp_path, [LogOutOfDistribution(other_digits(tmp_path, side=9))])
    with pytest.raises(UserError, match=r"samples of high 255.0, the run's data has 1.0"):
        run(tmp_path, [LogOutOfDistribution(other_digits(tmp_path, high=255.0))])
    with pytest.raises(UserError, match=r"quality.features: no feature network nope.pt"):
        run(tmp_path, [LogQuality(num_samples=50, features="nope.pt")])
    with pytest.raises(ValueError, match="quality num_samples is 1"):
        LogQuality(num_samples=1)


def test_figures_of_chains_and_of_scores_that_are_not_finite():
    figure = chain_figure(torch.rand(9, 30, 3, 8, 8), torch.randn(9, 30), "nine chains")
    tiles, curves = figure.axes
    assert tiles.images[0].get_array().shape == (60, 120, 3)  # six chains of twelve moments, each with an edge
    assert len(curves.get_legend().get_texts()) == 6
    assert sum(len(line.get_xdata()) == 30 for line in curves.lines) == 9
    scores = {"training": torch.randn(50), "out of distribution": torch.tensor([torch.inf, 1.0, 2.0, 3.0])}
    axes = histogram_figure({"energy c/T (nats)": scores}, batch=1).axes[0]
    assert "out of distribution (4), 25.0% beyond" in [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.long
def test_moves_at_a_temperature_are_not_called_the_model(tmp_path, network):
    run(tmp_path, [LogQuality(num_samples=50, features=network, moves=2, temperature=0.8)])
    values = logged(tmp_path)
    assert "quality/confidence_ratio/model_at_0.8" in values
    assert "quality/confidence_ratio/model" not in values


@pytest.mark.parametrize("callback", [LogQuality, LogSamples])
def test_a_temperature_of_zero_is_refused_before_training(callback):
    with pytest.raises(ValueError, match="temperature is 0; it is above 0"):
        callback(temperature=0)


@pytest.mark.parametrize("callback", [LogQuality, LogSamples])
def test_a_temperature_at_which_nothing_moves_is_refused(callback):
    with pytest.raises(ValueError, match=r"temperature is 0\.8, but .*moves is 0"):
        callback(temperature=0.8, moves=0)


@pytest.mark.parametrize("callback", [LogQuality, LogSamples])
@pytest.mark.parametrize("pool", [0, -1])
def test_a_model_that_nothing_would_draw_is_refused_before_training(callback, pool):
    with pytest.raises(ValueError, match=rf"pool is {pool} and .*moves 0: .*set one of them"):
        callback(pool=pool, moves=0)


@pytest.mark.long
def test_chains_alone_draw_the_model_where_there_is_no_pool(tmp_path, network):
    run(tmp_path, [LogQuality(num_samples=50, features=network, pool=0, moves=2)])
    values = logged(tmp_path)
    assert "quality/acceptance" in values
    assert "quality/ess" not in values
