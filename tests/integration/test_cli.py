"""The command line: every verb, in process but for one test through the console script."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lightning_irl.command import runs
from lightning_irl.command.cli import main
from lightning_irl.command.named_configs import CONFIGS, OVERLAYS, shipped_configs
from lightning_irl.views import GAN
from lightning_irl.views.devices import default_devices

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
JUDGED = ("log_z_optimum", "gradient", "generator_loss")
OUTSIDE = """
import torch
from lightning_irl.costs import Cost
from lightning_irl.samplers import Sampler


class SteepCost(Cost):
    def __init__(self, event, power: float = 4.0):
        super().__init__(event)
        self.power = power
        self.scale = torch.nn.Parameter(torch.ones(self.dimension))

    def forward(self, samples):
        return (self.scale * samples).abs().pow(self.power).sum(-1)


class LaplaceSampler(Sampler):
    def __init__(self, event):
        super().__init__(event)
        self.log_scale = torch.nn.Parameter(torch.zeros(self.dimension))

    @property
    def law(self):
        return torch.distributions.Laplace(torch.zeros_like(self.log_scale), self.log_scale.exp())

    def rsample(self, num_samples):
        samples = self.law.rsample((num_samples,))
        return samples, self.log_prob(samples)

    @torch.no_grad()
    def sample(self, num_samples):
        return self.rsample(num_samples)

    def log_prob(self, samples):
        return self.law.log_prob(samples).sum(-1)
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning-irl"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))


def folders():
    return sorted(path.parent for path in Path("runs").rglob("config.yaml"))


def checkpoint_of(folder):
    (path,) = (folder / "checkpoints").glob("*.ckpt")
    return path


def test_everything_of_a_run_is_in_one_folder_which_no_other_run_gets(monkeypatch, capsys):
    monkeypatch.setattr(runs.time, "strftime", lambda _: "20300101-000000")  # both runs in one second
    assert main(["fit", "--config", "tiny.yaml"]) == 0
    first = Path("runs/gan/tiny/20300101-000000")
    assert folders() == [first]
    assert f"files in {first}" in capsys.readouterr().out
    assert sorted(path.name for path in Path().iterdir()) == ["runs", "tiny.yaml"]
    assert {"config.yaml", "metrics.csv", "checkpoints"} <= {path.name for path in first.iterdir()}
    assert "loss/cost" in (first / "metrics.csv").read_text()
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert main(["fit", "--config", "tiny.yaml", "--seed_everything=1"]) == 0
    assert folders() == [first, Path("runs/gan/tiny/20300101-000000-2")]
    assert before == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}


def test_last_resumes_the_newest_run_in_a_new_folder():
    assert main(["fit", "--config", "tiny.yaml"]) == 0
    (first,) = folders()
    again = ["--trainer.max_epochs=2", "--ckpt_path", "last"]
    with pytest.warns(UserWarning, match="no effect") as said:
        assert main(["fit", "--config", "tiny.yaml", "--seed_everything=99", "--init_from=else.ckpt", *again]) == 0
    words = "--seed_everything has no effect on a resumed run", "--init_from has no effect beside --ckpt_path"
    assert all(any(one in str(line.message) for line in said) for one in words)
    (second,) = set(folders()) - {first}
    resumed = torch.load(checkpoint_of(second), weights_only=True)
    assert (resumed["epoch"], resumed["batches"]) == (1, 6)
    assert str(checkpoint_of(first)) in (second / "config.yaml").read_text().splitlines()[0]
    whole = ["fit", "--config", "tiny.yaml", "--trainer.max_epochs=2", "--trainer.default_root_dir=whole"]
    assert main(whole) == 0
    assert torch.load(checkpoint_of(Path("whole")), weights_only=True)["batches"] == 6


def test_a_saved_config_tests_and_scores_its_checkpoint_beside_it(capsys):
    assert main(["fit", "--config", "tiny.yaml"]) == 0
    (run,) = folders()
    arguments = ["--config", str(run / "config.yaml"), "--ckpt_path", str(checkpoint_of(run))]
    metrics = (run / "metrics.csv").read_bytes()
    for verb in ("validate", "test", "predict"):
        assert main([verb, *arguments]) == 0
        assert [path.name.split("-")[0] for path in run.glob(f"{verb}-*")] == [verb]
    assert (run / "metrics.csv").read_bytes() == metrics
    assert folders() == [run]
    (tested,) = run.glob("test-*")
    assert "test/nll_sampler" in (tested / "metrics.csv").read_text()
    (scored,) = run.glob("predict-*/predictions.npz")
    assert str(scored) in capsys.readouterr().out

    view = GAN.load_from_checkpoint(checkpoint_of(run), weights_only=True)
    assert (type(view.cost).__name__, type(view.sampler).__name__) == ("MLPCost", "GaussianSampler")
    scores = {name: torch.from_numpy(values) for name, values in np.load(scored).items()}
    assert scores["samples"].shape == (48, 2)
    torch.testing.assert_close(view.cost(scores["samples"]).detach(), scores["cost"])
    torch.testing.assert_close(view.sampler.log_prob(scores["samples"]).detach(), scores["log_q"])
    assert main(["verify", *arguments]) == 0


def test_a_pair_continues_in_another_view():
    assert main(["fit", "--config", "tiny.yaml"]) == 0
    (run,) = folders()
    start = ["--init_from", str(checkpoint_of(run)), "--model.cost_optimizer=SGD", "--model.cost_optimizer.lr=0"]
    assert main(["fit", "--config", "tiny.yaml", "--model=EBM", *start]) == 0
    (other,) = set(folders()) - {run}
    assert other.parent == Path("runs/ebm/tiny")
    theirs, ours = (torch.load(checkpoint_of(path), weights_only=True)["state_dict"] for path in (run, other))
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs if key.startswith("cost."))


def test_overlays_and_fields_win_over_what_is_before_them(capsys):
    Path("overlay.yaml").write_text("trainer: {max_epochs: 5}\nthreads: 1")
    arguments = ["fit", "--config", "tiny.yaml", "--config=overlay.yaml", "--data.batch_size=32", "--print_config"]
    assert main(arguments) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["max_epochs"] == 5
    assert printed["data"]["init_args"]["batch_size"] == 32
    assert printed["model"]["class_path"] == "lightning_irl.views.GAN"
    assert printed["threads"] == 1


def test_interpolation(monkeypatch, capsys):
    monkeypatch.setenv("WIDTH", "24")
    overlay = {
        "cost": {"init_args": {"hidden": "${oc.decode:'[${oc.env:WIDTH,8},${oc.env:NOT_SET,16}]'}"}},
        "cost_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.03}},
        "sampler_optimizer": {
            "class_path": "torch.optim.SGD",
            "init_args": {"lr": "${...cost_optimizer.init_args.lr}"},
        },
    }
    Path("overlay.yaml").write_text(yaml.safe_dump({"model": {"init_args": overlay}}))
    assert main(["fit", "--config", "tiny.yaml", "--config", "overlay.yaml"]) == 0
    (run,) = folders()
    saved = yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]
    assert saved["cost"]["init_args"]["hidden"] == [24, 16]
    assert saved["sampler_optimizer"]["init_args"]["lr"] == 0.03
    view = GAN.load_from_checkpoint(checkpoint_of(run), weights_only=True)
    assert view.cost.network[0].weight.shape == (24, 2)


def test_threads_are_set_for_every_verb():
    for verb, brief in {"fit": "--trainer.fast_dev_run=true", "verify": "--data.batch_size=8"}.items():
        torch.set_num_threads(1)
        assert main([verb, "--config", "tiny.yaml", brief, "--threads", "2"]) == 0
        assert torch.get_num_threads() == 2


def test_configs_lists_what_ships(capsys):
    assert main(["configs"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed and summary for name, summary in shipped_configs().items())
    assert "gan/eight_gaussians" in printed


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in shipped_configs() if name.split("/")[0] not in OVERLAYS])
def test_the_facts_hold_for_every_shipped_config(name, capsys, idx_images):
    is_large = "ImageDataModule" in (CONFIGS / f"{name}.yaml").read_text()
    size = 8 if is_large or name.startswith("irl/") else 128  # of ten demonstrations
    given = ["--json", "--threads=1", f"--data.batch_size={size}"]
    given += ["--data.root", str(idx_images)] if is_large else []
    code = main(["verify", "--config", name, *given])
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert output.out.count("\n") == 1
    assert "available" not in output.err
    has_density = result["gradient"] is not None
    assert code == (0 if has_density else 2)
    assert has_density or result["reason"]
    assert all(result[name] <= 1e-10 for name in JUDGED if has_density)


def test_verify_makes_no_files_and_no_trainer(capsys, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("verify made a trainer")

    monkeypatch.setattr("pytorch_lightning.cli.LightningCLI._instantiate_trainer", forbidden)
    assert main(["verify", "--config", "tiny.yaml", "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=x"]) == 0
    assert capsys.readouterr().err == ""
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


def test_verify_without_a_density_says_why(capsys):
    plain = ["--model.discriminator=plain", "--model.sampler=GeneratorSampler", "--json"]
    assert main(["verify", "--config", "tiny.yaml", *plain]) == 2
    result = json.loads(capsys.readouterr().out)
    assert [result[name] for name in JUDGED] == [None] * 3
    assert "GeneratorSampler" in result["reason"]


@pytest.mark.long
def test_a_cost_and_a_sampler_from_outside_the_package():
    """Through the console script, from a user's folder, with nothing registered."""
    Path("mine.py").write_text("print('a module that prints')\n" + OUTSIDE)
    overlay = {"cost": "mine.SteepCost", "sampler": "mine.LaplaceSampler"}
    Path("mine.yaml").write_text(
        yaml.safe_dump({"model": {"init_args": {key: {"class_path": path} for key, path in overlay.items()}}})
    )
    script = Path(sys.executable).with_name("lightning-irl")
    arguments = ["verify", "--config", "tiny.yaml", "--config", "mine.yaml", "--json"]
    done = subprocess.run([script, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert all(json.loads(done.stdout)[name] <= 1e-10 for name in JUDGED)
    assert main(["fit", *arguments[1:-1]]) == 0
    (run,) = folders()
    view = GAN.load_from_checkpoint(checkpoint_of(run), weights_only=True)
    assert type(view.cost).__name__ == "SteepCost"


@pytest.mark.long
def test_two_processes_share_one_folder_without_adverts_but_with_warnings():
    """As a process of its own: Lightning's log goes to the standard error that it found when it was imported."""
    overlay = ["--config", "trainer/ddp", "--trainer.devices=2", "--trainer.log_every_n_steps=50"]
    arguments = ["-m", "lightning_irl", "fit", "--config", "tiny.yaml", *overlay]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    (run,) = folders()
    assert done.stdout.count(f"files in {run}") == 1
    assert torch.load(checkpoint_of(run), weights_only=True)["batches"] == 3
    for advert in ("Tip:", "TPU", "HPU", "many workers", "LeafSpec"):
        assert advert not in done.stdout + done.stderr
    assert "smaller than the logging interval" in done.stderr  # a real warning


def test_a_trial_run_leaves_nothing():
    assert main(["fit", "--config", "tiny.yaml", "--trainer.fast_dev_run=true"]) == 0
    assert not Path("runs").exists()


def test_a_folder_given_by_name_is_the_run_folder_and_is_not_overwritten(capsys):
    arguments = ["fit", "--config", "tiny.yaml", "--trainer.default_root_dir=here"]
    assert main(arguments) == 0
    assert checkpoint_of(Path("here")).is_file()
    assert not Path("runs").exists()
    assert main(arguments) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main(["fit", "--config", "here/config.yaml"]) == 0  # its folder is not part of a saved config
    assert [folder.parent for folder in folders() if folder != Path("here")] == [Path("runs/gan/here")]


def test_untrained_views_are_called_so(capsys):
    assert main(["test", "--config", "tiny.yaml"]) == 0
    assert "no --ckpt_path" in capsys.readouterr().err


def test_help_and_usage(capsys):
    assert main(["--help"]) == 0
    assert "verify" in capsys.readouterr().out
    assert main([]) == 2
    assert main(["fit", "--help"]) == 0
    assert "--init_from" in capsys.readouterr().out
    assert main(["verify", "--help"]) == 0
    assert "--ckpt_path" in capsys.readouterr().out


@pytest.mark.parametrize(("started", "devices"), [({}, 1), ({"WORLD_SIZE": "4"}, "auto"), ({"SLURM_NTASKS": "1"}, 1)])
def test_one_device_unless_asked(started, devices, monkeypatch):
    for name in ("WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    assert default_devices() == devices


@pytest.mark.parametrize("given", [["--help"], ["configs"], ["nonsense"], ["fit", "--config", "gan/eight_gausians"]])
def test_what_needs_no_torch_is_answered_without(given):
    """Seconds of imports before `no config ...; did you mean ...`, else."""
    script = f"import sys; from lightning_irl.command.cli import main; main({given}); sys.exit(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}
    assert not loaded & {"torch", "pytorch_lightning", "matplotlib", "wandb", "numpy"}
