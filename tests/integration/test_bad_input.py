"""Bad input: a message of a few lines that says what was given, what is allowed and what to do; no traceback, no
training.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning.strategies import FSDPStrategy

from lightning_irl.command.cli import main
from lightning_irl.command.config_files import check_config
from lightning_irl.errors import UserError
from lightning_irl.views.checks import check_strategy

TINY = {
    "model": {
        "class_path": "GAN",
        "init_args": {
            "cost": {"class_path": "MLPCost", "init_args": {"hidden": [8]}},
            "sampler": {"class_path": "GaussianSampler"},
        },
    },
    "data": {
        "class_path": "ToyDataModule",
        "init_args": {"train_size": 192, "val_size": 32, "test_size": 48, "batch_size": 64},
    },
    "trainer": {"max_epochs": 1, "enable_progress_bar": False, "log_every_n_steps": 1, "accelerator": "cpu"},
    "partition": {"methods": ["importance"], "num_samples": 64},
    "samples": {"every_n_epochs": 0},
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning-irl"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))


@pytest.fixture
def refused(capfd):
    """Run a command that must be refused before training; check the form of its message, hand over its text."""

    def run(*arguments, verb="fit", config="tiny.yaml"):
        capfd.readouterr()
        files_before = set(Path().rglob("*"))
        code = main([verb, "--config", config, *arguments])
        printed = capfd.readouterr()
        message = printed.err[printed.err.index("lightning-irl: ") :]
        assert code == (3 if verb == "verify" else 2)
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert "Union" not in message
        assert "Namespace" not in message
        assert len(message.splitlines()) <= 10
        assert {path for path in Path().rglob("*") if "__pycache__" not in path.parts} <= files_before
        return message

    return run


def overlay(**fields):
    Path("overlay.yaml").write_text(yaml.safe_dump(fields))
    return "--config=overlay.yaml"


def model(**fields):
    return overlay(model={"init_args": fields})


@pytest.mark.parametrize("verb", ["fit", "verify"])
def test_unknown_config(refused, verb):
    assert "did you mean gan/eight_gaussians" in refused(verb=verb, config="gan/eight_gausians")
    assert "lightning-irl configs" in refused(verb=verb, config="qqq")


def test_unknown_verb(capsys):
    assert main(["fti"]) == 2
    assert "did you mean fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # unknown keys; the first is a prefix that argparse would complete
        (["--trainer.max_epoch=3"], ["no option trainer.max_epoch", "did you mean trainer.max_epochs"]),
        (["--thread", "3"], ["no option thread", "threads"]),
        (["--model.temprature=3"], ["GAN has no option temprature", "temperature"]),
        (["--model.cost.hiddn=[3]"], ["MLPCost has no option hiddn", "hidden"]),
        (["--model.cost_optimizer=Adam", "--model.cost_optimizer.lrr=1"], ["Adam has no option lrr", "lr"]),
        # unknown classes
        (["--model=GANN"], ["no class GANN", "did you mean GAN?"]),
        (["--model.cost=MLPCots"], ["model.cost", "no class MLPCots", "MLPCost"]),
        (["--model.cost=not_a_module.Cost"], ["no class not_a_module.Cost", "not_a_module"]),
        (["--data=ToyData"], ["no class ToyData", "ToyDataModule"]),
        (["--trainer.callbacks+=Nope"], ["trainer.callbacks", "no class Nope"]),
        # wrong types and values
        (["--trainer.max_epochs=many"], ["trainer.max_epochs", "expected int", "many"]),
        (["--model.temperature=hot"], ["model.temperature", "expected float", "hot"]),
        (["--model.temperature=-1"], ["temperature is -1.0", "above 0"]),
        (["--model.cost.hidden=[a]"], ["model.cost.hidden", "expected int", "a"]),
        (["--model.generator_loss=both"], ["generator_loss", "saturating", "both"]),
        (["--trainer.precision=7"], ["trainer.precision", "bf16-mixed", "7"]),
        (["--trainer.devices=none"], ["trainer: `devices`"]),
        (["gan/digits"], ["gan/digits is not an option", "--config"]),
        (["--threads=0"], ["threads", "0"]),
        (["--data.name=moons"], ["'moons' is not known", "two_moons"]),
        (["--model.cost_optimizer=Adam", "--model.cost_optimizer.lr=-1"], ["Invalid learning rate: -1"]),
        (["--data=ImageDataModule"], ["data: ImageDataModule needs name, root", "--data.FIELD VALUE"]),
        (
            ["--data=ImageDataModule", "--data.name=mnits", "--data.root=."],
            ["no images named 'mnits'", "did you mean mnist"],
        ),
        (["--data=ImageDataModule", "--data.name=svhn", "--data.root=."], ["train_32x32.mat", "data.download=true"]),
        (["--data=ImageDataModule", "--data.name=folder", "--data.root=nowhere"], ["no folder nowhere", "data.root"]),
        # what Lightning refuses with two optimizers
        (["--trainer.gradient_clip_val=1"], ["gradient_clip_val", "--model.clip_norm"]),
        (["--trainer.gradient_clip_algorithm=value"], ["gradient_clip_algorithm", "--model.clip_norm"]),
        (["--trainer.accumulate_grad_batches=2"], ["accumulate_grad_batches", "--model.accumulate"]),
        # numbers that nothing can be done with
        (["--model.num_samples=0"], ["num_samples is 0", "at least 1"]),
        (["--model.clip_norm=0"], ["clip_norm is 0", "above 0"]),
        (["--model.cost.hidden=[0]"], ["layers of 0 units"]),
        (["--model.sampler=GaussianMixtureSampler", "--model.sampler.components=0"], ["components is 0"]),
        (["--model.sampler=FlowSampler", "--model.sampler.transforms=0"], ["transforms is 0"]),
        (["--data.steps_per_epoch=0"], ["steps_per_epoch is 0"]),
        (["--data.train_size=0"], ["train_size is 0"]),
        (["--equivalence.every_n_batches=0"], ["equivalence.every_n_batches is 0"]),
        (["--imitation.num_episodes=0"], ["imitation.num_episodes is 0"]),
        (["--partition.every_n_epochs=-1"], ["partition.every_n_epochs is -1"]),
        (["--samples.every_n_epochs=-2"], ["samples.every_n_epochs is -2"]),
        (["--partition.methods=[bridj]"], ["'bridj'", "did you mean bridge"]),
        (["--seed_everything=-1"], ["seed_everything is -1", "4294967295"]),
        # what this machine has not
        (["--trainer.logger=MLFlowLogger"], ["a package is missing", "mlflow"]),
        (
            ["--config", "logger/wandb", "--trainer.logger.save_dir=/proc/mine"],
            ["save_dir of W&B is /proc/mine", "cannot be written"],
        ),
        # a class of another kind
        (["--model.cost=GaussianSampler"], ["GaussianSampler is a subclass of Sampler"]),
        # parts that do not fit
        (["--model.cost=ConvCost"], ["ConvCost takes images", "[2]", "MLPCost"]),
        (
            ["--model.sampler=GeneratorSampler"],
            ["GeneratorSampler has no density", "discriminator=plain", "FlowSampler"],
        ),
        (["--model=EBM", "--model.sampler=GeneratorSampler"], ["no density", "negative_phase=uniform"]),
        (["--data.batch_size=193"], ["batch_size is 193", "192"]),
    ],
)
def test_arguments(refused, arguments, expected):
    message = refused(*arguments)
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"trainer": {"max_epoch": 3}}, ["trainer.max_epoch", "trainer.max_epochs"]),
        ({"trainr": {"max_epochs": 3}}, ["trainr.max_epochs", "trainer.max_epochs"]),
        ({"model": {"init_args": {"cost": {"init_args": {"hiddn": [3]}}}}}, ["MLPCost has no option hiddn", "hidden"]),
        ({"model": {"init_args": {"cost": {"class_path": "MLPCots"}}}}, ["no class MLPCots", "MLPCost"]),
        ({"model": {"init_args": {"temperature": "hot"}}}, ["model.temperature", "expected float"]),
        ({"model": {"init_args": {"temperature": "${.nope}"}}}, ["interpolation", "nope", "temperature"]),
    ],
)
def test_yaml(refused, fields, expected):
    message = refused(overlay(**fields))
    for part in expected:
        assert part in message


def test_yaml_that_is_none(refused):
    Path("overlay.yaml").write_text("trainer:\n  max_epochs: [3\n")
    assert "line 2" in refused("--config=overlay.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; its fields are model, data"),
        (b"- model\n- data\n", "is not a mapping; its fields are model, data"),
        (b"trainer:\n\tmax_epochs: 3\n", "line 2, column 1: a tab"),
        (b"trainer:\n  max_epochs: 3\n  max_epochs: 30\n", "gives max_epochs twice, on line 2 and on line 3"),
        ("# Prüfung\n".encode("latin-1"), "is not UTF-8 text"),
        (b"\x93NUMPY\x01\x00", "is not UTF-8 text"),
    ],
    ids=["empty", "list", "tab", "twice", "Latin-1", "array"],
)
def test_files_that_are_no_configs(refused, content, words):
    Path("overlay.yaml").write_bytes(content)
    message = refused("--config=overlay.yaml")
    assert message.startswith("lightning-irl: config overlay.yaml")
    assert words in message


def test_a_name_twice_in_different_parts_of_a_config_is_none_given_twice():
    Path("good.yaml").write_text("a: &base {size: 1}\nb: {size: 2, <<: *base}\nc: [{size: 3}, {size: 4}]\n")
    check_config(Path("good.yaml"))


def test_verbs_that_take_no_config(capsys):
    assert main(["configs", "--all"]) == 2
    assert "configs takes no options, but --all was given" in capsys.readouterr().err


def test_a_metric_that_is_never_logged_is_named_with_those_that_are(capfd):
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/los"]
    assert main(["fit", "--config", "tiny.yaml", *stop]) == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert "val/los" in error
    assert "val/nll_sampler" in error


def test_no_config_at_all(capsys):
    assert main(["fit"]) == 2
    assert "--config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0.0, np.nan]] * 2 + [[1.0, 2.0]] * 98), "2 of 100 samples hold NaN or Inf"),
        (np.array([[0.0, np.inf]] + [[1.0, 2.0]] * 99), "1 of 100 samples hold NaN or Inf"),
        (np.array([{"a": 1}], dtype=object), "not a plain .npy array"),
        (np.zeros(100), "give (N, d) points"),
        (np.zeros((100, 2)), "constant"),
        (np.random.default_rng(0).normal(size=(20, 2)), "batch_size is 64"),
        (np.array([["a", "b"]] * 100), "not a plain .npy array of numbers"),
    ],
)
def test_data(refused, samples, expected):
    np.save("data.npy", samples, allow_pickle=True)
    fields = {"class_path": "ArrayDataModule", "init_args": {"samples": "data.npy", "batch_size": 64}}
    assert expected in refused(overlay(data=fields))


def test_data_files(refused):
    def data(path):
        return overlay(data={"class_path": "ArrayDataModule", "init_args": {"samples": path}})

    assert "no file nowhere.npy" in refused(data("nowhere.npy"))
    Path("text.npy").write_text("Dear all, the data are below.\n")
    assert "text.npy is text; samples are a .npy" in refused(data("text.npy"))
    Path("two.csv").write_text("1 2\n3 4\n")
    assert "of 2 samples, validation takes 1 and test 1" in refused(data("two.csv"))
    Path("empty.npy").touch()
    assert "empty.npy is an empty file" in refused(data("empty.npy"))


@pytest.fixture
def checkpoint():
    assert main(["fit", "--config", "tiny.yaml", "--trainer.default_root_dir=trained"]) == 0
    (path,) = Path("trained/checkpoints").glob("*.ckpt")
    return str(path)


@pytest.mark.long
def test_checkpoints_of_other_kinds(refused, checkpoint):
    content = Path(checkpoint).read_bytes()
    Path("cut.ckpt").write_bytes(content[: len(content) // 2])
    Path("empty.ckpt").touch()
    torch.save({"weights": torch.zeros(3)}, "other.ckpt")
    torch.save({"state_dict": TINY, "code": print}, "code.ckpt")
    for option in ("--ckpt_path", "--init_from"):
        assert "no checkpoint nowhere.ckpt" in refused(option, "nowhere.ckpt")
        for name in ("cut", "empty", "code"):
            assert f"{name}.ckpt is truncated or no checkpoint" in refused(option, f"{name}.ckpt")
        assert "is truncated or no checkpoint" in refused(option, "trained")  # a folder
        assert "not the checkpoint of a view" in refused(option, "other.ckpt")
        message = refused(option, checkpoint, "--model.cost.hidden=[16]")
        assert "network.0.weight" in message
        assert "cost" in refused(option, checkpoint, "--model.cost=QuadraticCost")
        assert "sampler" in refused(option, checkpoint, "--model.sampler=FlowSampler")
    for verb in ("test", "predict", "validate", "verify"):
        assert "[8, 2] there, [16, 2] here" in refused("--ckpt_path", checkpoint, "--model.cost.hidden=[16]", verb=verb)
    assert "use --init_from" in refused("--ckpt_path", checkpoint, "--model=EBM")
    assert "use --init_from" in refused("--ckpt_path", checkpoint, "--model.sampler_steps=0")
    assert "no checkpoint under" in refused("--ckpt_path", "last")
    Path("text.ckpt").write_text("hello")
    assert "text.ckpt is truncated or no checkpoint\n" in refused("--ckpt_path", "text.ckpt")
    for key in ("optimizer_states", "batches"):
        content = torch.load(checkpoint, weights_only=True)
        del content[key]
        torch.save(content, "part.ckpt")
        message = refused("--ckpt_path", "part.ckpt")
        assert f"lacks {key}" in message
        assert "--init_from" in message


def test_run_folders_that_cannot_be_written(refused):
    Path("file").touch()
    assert "cannot be written" in refused("--trainer.default_root_dir=file/run")
    assert "cannot be written" in refused("--trainer.default_root_dir=file")
    Path("runs").touch()
    message = refused()
    assert "runs/gan/tiny" in message
    assert "--trainer.default_root_dir" in message


OUTSIDE = '''
import torch
from lightning_irl.costs import Cost, MLPCost
from lightning_irl.samplers import GaussianSampler


class Column(MLPCost):
    def forward(self, samples):
        return super().forward(samples)[:, None]


class Wide(Cost):
    def __init__(self, event):
        super().__init__(event)
        self.layer = torch.nn.Linear(5, 1)

    def forward(self, samples):
        return self.layer(samples).squeeze(-1)


class Flat(GaussianSampler):
    def sample(self, num_samples):
        samples, log_q = super().sample(num_samples)
        return samples.flatten(), log_q


class Picky(MLPCost):
    def __init__(self, event):
        raise ValueError("Picky takes nothing, not even " + str(event["shape"]))


class Broken(MLPCost):
    def __init__(self, event):
        event.this_is_a_bug


class Spoiled(MLPCost):
    """Fine for some batches, then NaN."""

    calls = 0

    def forward(self, samples):
        if self.training:
            self.calls += 1
        return super().forward(samples) * (torch.nan if self.calls > 8 else 1.0)


class NotACost:
    pass
'''


@pytest.fixture
def outside():
    sys.modules.pop("others", None)
    Path("others.py").write_text(OUTSIDE)
    yield
    sys.modules.pop("others", None)


def test_parts_from_outside_that_break_the_contract(refused, outside):
    message = refused("--model.cost=others.Column")
    assert "cost Column has shape [2, 1] for 2 samples" in message
    message = refused("--model.cost=others.Wide")
    assert "cost Wide cannot take samples of the data's shape [2]" in message
    assert "sampler Flat draws samples of shape [], the data has [2]" in refused("--model.sampler=others.Flat")
    assert "Picky takes nothing, not even [2]" in refused("--model.cost=others.Picky")
    assert "NotACost" in refused("--model.cost=others.NotACost")
    assert "no class others.Nope" in refused("--model.cost=others.Nope")


def test_a_bug_keeps_its_traceback(outside):
    with pytest.raises(AttributeError, match="this_is_a_bug"):
        main(["fit", "--config", "tiny.yaml", "--model.cost=others.Broken"])


def test_the_traceback_of_bad_input_can_be_seen(monkeypatch):
    monkeypatch.setenv("LIGHTNING_IRL_TRACEBACK", "1")
    with pytest.raises(Exception, match=r"no option trainer\.max_epoch"):
        main(["fit", "--config", "tiny.yaml", "--trainer.max_epoch=3"])


def test_a_loss_that_is_not_finite_stops_training_and_the_last_good_checkpoint_stays(outside, capfd):
    """Three batches an epoch and a call for the cost's and for the sampler's loss each: the first epoch is good."""
    code = main(["fit", "--config", "tiny.yaml", "--model.cost=others.Spoiled", "--trainer.max_epochs=9"])
    error = capfd.readouterr().err
    message = error[error.index("lightning-irl: ") :]
    assert code == 1
    assert "Traceback" not in error
    assert "loss/cost was not finite at batch 4" in message
    (kept,) = Path("runs").rglob("checkpoints/*.ckpt")
    state = torch.load(kept, weights_only=True)
    assert state["batches"] == 3
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())


def test_strategies_that_shard_parameters_are_refused_with_the_reason():
    trainer = SimpleNamespace(strategy=FSDPStrategy())
    with pytest.raises(UserError, match=r"FSDPStrategy shards parameters(.|\n)*trainer/ddp"):
        check_strategy(trainer)
