"""What a view asks of a data module: batches of any common form, and attributes that are looked at before training."""

import math
import warnings
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader, TensorDataset

from lightning_irl.callbacks import LogEquivalence, LogPartition, LogSamples
from lightning_irl.callbacks.evaluation import means
from lightning_irl.callbacks.failing import left_out
from lightning_irl.callbacks.partition import kl_on_grid
from lightning_irl.callbacks.publish import demonstrations_of
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import DemonstrationsDataModule, MemoryDataModule, Splits
from lightning_irl.datamodules.densities import DENSITIES
from lightning_irl.errors import UserError
from lightning_irl.samplers import GaussianSampler
from lightning_irl.spaces import Batch, Trajectory, make_event, make_trajectory_event
from lightning_irl.spaces.served import ALLOWED, DataDescription, as_batch, describe
from lightning_irl.views import GAN
from lightning_irl.views.contracts import check_event

QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
    "max_epochs": 1,
}
PLANE = make_event("point", [2])
POINTS = torch.linspace(-1, 1, 128).view(64, 2)


class Plain(pl.LightningDataModule):
    """A data module that knows nothing of this package; its loaders serve a dataset in batches of 16."""

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset

    def train_dataloader(self):
        return DataLoader(self.dataset, batch_size=16)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Own(DemonstrationsDataModule):
    """One that does, and says more."""

    def __init__(self, event=PLANE, dataset=POINTS, **said):
        super().__init__(event)
        self.dataset = dataset
        for name, value in said.items():
            setattr(self, name, value)

    def train_dataloader(self):
        return DataLoader(self.dataset, batch_size=16)

    val_dataloader = train_dataloader


def view(event=PLANE, **options):
    torch.manual_seed(0)
    return GAN(event, partial(MLPCost, hidden=[4]), GaussianSampler, **options)


def trainer(folder, *callbacks, **options):
    return pl.Trainer(**{**QUIET, "default_root_dir": folder, "callbacks": list(callbacks), **options})


class Seen(Callback):
    """Keeps what callbacks' hooks are given."""

    def __init__(self):
        self.batches = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches["train"] = batch

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches["val"] = batch

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches["test"] = batch

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.batches["predict"] = batch


SERVED = {
    "tensors": POINTS,
    "a list of one": TensorDataset(POINTS),
    "a list with labels": TensorDataset(POINTS, torch.arange(64)),
    "double precision": TensorDataset(POINTS.double()),
    "batches": [Batch(point, torch.zeros(())) for point in POINTS],
}


@pytest.mark.parametrize("dataset", SERVED.values(), ids=SERVED)
def test_a_plain_data_module_trains_the_same_view_whatever_it_serves(tmp_path, dataset):
    """Every hook of view and callbacks gets a Batch, and the weights are those of a data module of this package."""
    seen, found = Seen(), {}
    for name, data in (("plain", Plain(dataset)), ("own", Own())):
        model, run = view(), trainer(tmp_path, seen)
        torch.manual_seed(1)
        run.fit(model, datamodule=data)
        found[name] = model.state_dict()
        if name == "plain":
            run.test(model, datamodule=data, verbose=False)
            run.predict(model, datamodule=data)
    assert {type(batch) for batch in seen.batches.values()} == {Batch}
    assert seen.batches.keys() == {"train", "val", "test", "predict"}
    for batch in seen.batches.values():
        torch.testing.assert_close(batch, Batch(POINTS[-16:], torch.zeros(16)), rtol=0, atol=0)
    for name, value in found["plain"].items():
        assert torch.equal(value, found["own"][name])


@pytest.mark.long
@pytest.mark.parametrize("has_module", [True, False])
def test_reports_ask_the_same_place(tmp_path, has_module):
    """Reports read batches of a plain data module, or of loaders alone, as the steps do; none is left out."""
    data = Plain(TensorDataset(POINTS))
    source = {"datamodule": data} if has_module else {"train_dataloaders": data.train_dataloader()}
    if not has_module:
        source["val_dataloaders"] = data.val_dataloader()
    partition = LogPartition(methods=["importance"], num_samples=32)
    run = trainer(tmp_path, partition, LogEquivalence(1), *[LogSamples()] * has_module)
    run.fit(view(), **source)
    assert left_out(run) == []
    assert math.isfinite(partition.results["val/nll_sampler"])
    assert partition.estimates


def test_transfer_hooks_of_a_data_module_come_first(tmp_path):
    """Raw batches go through the data module's own hooks; what they return is what the view and reports see."""

    class Raw(Plain):
        def on_before_batch_transfer(self, batch, dataloader_idx):
            return batch["image"]

        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch * 2

    seen = Seen()
    run = trainer(tmp_path, seen)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run.fit(view(), datamodule=Raw([{"image": point, "label": 1} for point in POINTS]))
    assert torch.equal(seen.batches["train"].samples, POINTS[-16:] * 2)
    assert torch.equal(demonstrations_of(run, "val"), POINTS * 2)
    logged = means(run, run.lightning_module, "val")
    run.lightning_module.evaluated_at = {}  # so that the demonstrations are gone through again
    assert means(run, run.lightning_module, "val") == pytest.approx(logged, rel=1e-6)
    assert not any("You have overridden" in str(one.message) for one in said)


@pytest.mark.parametrize(
    ("served", "event", "words"),
    [
        ({"image": POINTS, "label": POINTS}, PLANE, "serves a dict with image, label"),
        ([], PLANE, "serves a list of nothing"),
        ([["a"], POINTS], PLANE, r"serves a list of list, Tensor\[64, 2\]"),
        (POINTS.view(32, 4), PLANE, r"of shape \[4\] in a tensor of shape \[32, 4\], the event says \[2\]"),
        (POINTS[0, 0], PLANE, r"the event says \[2\]"),
        (POINTS.to(torch.uint8), PLANE, "of type uint8.*real numbers"),
        (POINTS, make_trajectory_event(3, [2], num_actions=2), r"takes a Trajectory, a list"),
    ],
)
def test_what_holds_no_samples_is_named_with_what_to_return(served, event, words):
    with pytest.raises(UserError, match=words) as refusal:
        as_batch(served, event)
    if "real numbers" not in words:
        assert "Batch(samples, log_det)" in str(refusal.value)
        assert "on_before_batch_transfer" in str(refusal.value)


def test_it_is_said_before_a_step(tmp_path):
    model = view()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match="serves a dict with image"):
        trainer(tmp_path).fit(model, datamodule=Plain([{"image": point} for point in POINTS]))
    assert all(torch.equal(value, before[name]) or name == "log_z" for name, value in model.state_dict().items())
    assert model.batches == 0


def test_a_trajectory_is_samples_and_no_tuple_of_them():
    event = make_trajectory_event(3, [2], num_actions=2)
    long = torch.zeros(5, 3, dtype=torch.long)
    paths = Trajectory(torch.zeros(5, 4, 2), long, long.bool(), long.bool()[:, 0], long[:, 0])
    for served in (paths, [paths, torch.arange(5)]):
        batch = as_batch(served, event)
        assert batch.samples is paths
        assert batch.log_det.shape == (5,)


def test_every_attribute_is_documented_and_has_a_default():
    described = [line.partition(":")[0].strip() for line in DataDescription.__doc__.splitlines() if line[:8] == " " * 8]
    names = [name for name in ALLOWED if name != "take_bounds"]
    assert [word for word in described if word in names] == names
    nothing = describe(None)
    assert {name: getattr(nothing, name) for name in names} == {
        name: {"has_actions": True}.get(name) for name in names if name != "expert_return"
    } | {"expert_return": pytest.approx(math.nan, nan_ok=True)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("steps_per_epoch", 0),
        ("steps_per_epoch", 2.5),
        ("splits", [POINTS]),
        ("has_actions", "no"),
        ("recorded_in", 5),
        ("expert_return", "high"),
        ("density", 0.5),
        ("labels", torch.arange(64)),
        ("num_levels", 1),
    ],
)
def test_a_value_of_another_kind_is_refused_where_it_is_ours_and_ignored_where_it_is_not(tmp_path, name, value):
    with pytest.raises(UserError, match=rf"module Own says {name} = .*must be {ALLOWED[name][1][:6]}"):
        trainer(tmp_path).fit(view(), datamodule=Own(**{name: value}))
    data = Plain(POINTS)
    setattr(data, name, value)  # it may mean something else there
    assert getattr(describe(data), name) is getattr(DataDescription, name)
    fitting = {"density": DENSITIES["two_moons"](), "labels": Splits(1, 2, 3), "name": "digits"}
    if name in fitting:
        setattr(data, name, fitting[name])
        assert getattr(describe(data), name) is fitting[name]


def test_a_density_that_is_said_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_irl.callbacks.partition.kl_on_grid", partial(kl_on_grid, points=20))
    partition = LogPartition(methods=["importance"], num_samples=32)
    trainer(tmp_path, partition).fit(view(), datamodule=Own(density=DENSITIES["two_moons"]()))
    assert math.isfinite(partition.results["kl/model"])  # of an event with one scale for both coordinates


BOX = make_event("point", [2], support="box", low=0, high=1)


@pytest.mark.parametrize(
    ("mine", "theirs", "words"),
    [
        (PLANE, make_event("point", [3]), r"of shape \[2\], data module Own serves shape \[3\]: .*data.event"),
        (PLANE, make_event("image", [2]), "of kind point, data module Own serves kind image"),
        (BOX, PLANE, r"in the box \[0, 1\], data module Own serves samples in \[-inf, inf\]"),
        (BOX, {**BOX, "high": 2.0}, r"samples in \[0.0, 2.0\]"),
        (
            make_event("image", [1, 2, 2], support="box", base_measure="counting", levels=17),
            make_event("image", [1, 2, 2], support="box", base_measure="counting", levels=16),
            "levels 17, data module Own serves levels 16",
        ),
    ],
)
def test_events_that_differ_are_refused_before_training(tmp_path, mine, theirs, words):
    with pytest.raises(UserError, match=words):
        check_event(mine, theirs, "Own")
    if "levels" not in mine:
        with pytest.raises(UserError, match=words):
            trainer(tmp_path).fit(view(mine), datamodule=Own(theirs))


def test_events_of_the_same_space_may_differ(tmp_path):
    """A view can be tested on data of another scale, and on data within its box."""
    for mine, theirs in ((PLANE, {**PLANE, "scale": [2.0]}), (PLANE, BOX), (BOX, {**BOX, "low": 0.5})):
        points = POINTS.abs() / 2 + 0.5
        trainer(tmp_path).fit(view(mine), datamodule=Own(theirs, points))


def test_a_data_module_without_an_event_is_told_to_say_it():
    with pytest.raises(ValueError, match=r'event is None; .*make_event\("point", \[2\]\)'):
        view(getattr(Plain(POINTS), "event", None))
    with pytest.raises(ValueError, match="event is None"):
        Own(None)


def test_data_modules_that_ship_are_of_the_base_class():
    assert issubclass(MemoryDataModule, DemonstrationsDataModule)
