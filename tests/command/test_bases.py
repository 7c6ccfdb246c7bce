"""A config says what differs from the one that it starts from."""

from pathlib import Path

import pytest
import yaml

from lightning_irl.command.cli import main
from lightning_irl.command.config_files import without_base
from lightning_irl.command.named_configs import CONFIGS, bases, give_bases, resolve_configs, with_bases
from lightning_irl.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(**texts):
    for name, text in texts.items():
        path = Path(f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_base_is_a_file_beside_the_config_or_a_name():
    write(**{"mine/first": "base: irl/gail\n", "mine/deep/second": "base: ../first.yaml\n"})
    chain = with_bases(Path("mine/deep/second.yaml"))
    assert chain[:2] == [CONFIGS / "irl/pendulum.yaml", CONFIGS / "irl/gail.yaml"]
    assert [path.resolve() for path in chain[2:]] == [Path("mine/first.yaml").resolve(), Path(chain[-1]).resolve()]


def test_bases_come_before_their_config_and_its_overlays():
    write(mine="base: gan/two_moons\n", overlay="threads: 1\n")
    arguments, paths = resolve_configs(["--config", "mine.yaml", "-c=overlay.yaml", "--threads", "2"])
    assert paths == [Path("mine.yaml"), Path("overlay.yaml")]
    base = f"--config={CONFIGS / 'gan/two_moons.yaml'}"
    assert give_bases(arguments) == [base, *arguments]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threads: 1\nbase: gan/two_moon\n", r"mine.yaml, line 2: no base gan/two_moon, .*did you mean gan/two_moons"),
        ("base: mine.yaml\n", r"mine.yaml, line 1: base mine.yaml starts from this config again"),
        ("base: other.yaml\n", r"other.yaml, line 3: .*mine.yaml -> other.yaml -> mine.yaml|other.yaml, line 3: base"),
        ("base: [a, b]\n", r"mine.yaml, line 1: base takes one name"),
        ("base:\n", r"mine.yaml, line 1: base takes one name"),
        ("base: >\n  other.yaml\n", r"mine.yaml, line 1: base takes one name"),
        ("base: broken.yaml\n", r"broken.yaml gives threads twice, on line 1 and on line 2"),
    ],
)
def test_a_base_that_cannot_be_used_is_named_with_its_line(text, message):
    write(mine=text, other="threads: 1\n\nbase: mine.yaml\n", broken="threads: 1\nthreads: 2\n")
    with pytest.raises(UserError, match=message):
        resolve_configs(["--config", "mine.yaml"])


def test_lines_keep_their_numbers_without_the_base():
    assert without_base("# first\nbase: x  # why\nthreads: 1\n") == "# first\n\nthreads: 1\n"
    assert without_base("model: {base: x}\n") == "model: {base: x}\n"
    assert without_base("threads: 1\n") == "threads: 1\n"


def test_mappings_are_merged_lists_replaced_and_a_class_drops_what_it_does_not_take(capsys):
    write(
        mine="""
base: irl/pendulum
model:
  init_args:
    learner: ScoreFunction
    cost_optimizer:
      class_path: SGD
      init_args: {momentum: 0.5}
    cost_scheduler:
      class_path: CosineAnnealingLR
      init_args: {T_max: 5}
data:
  init_args: {action_low: [-1]}
"""
    )
    assert main(["fit", "--config", "mine.yaml", "--config", "logger/tensorboard", "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert "base" not in config
    assert model["learner"]["class_path"].endswith("ScoreFunction")
    assert "passes" not in model["learner"].get("init_args", {})
    assert model["cost_optimizer"]["class_path"] == "torch.optim.SGD"
    assert model["cost_optimizer"]["init_args"]["momentum"] == 0.5
    assert "betas" not in model["cost_optimizer"]["init_args"]
    assert model["cost_scheduler"]["init_args"]["T_max"] == 5
    assert model["sampler_scheduler"]["class_path"].startswith("lightning_irl.optim.")
    assert model["num_samples"] == 128
    assert data["action_low"] == [-1]
    assert data["action_high"] == [2]
    assert config["trainer"]["logger"]["class_path"].endswith("TensorBoardLogger")


def test_configs_names_the_base_of_each(capsys):
    assert main(["configs"]) == 0
    printed = capsys.readouterr().out
    assert bases()["irl/gail"] == "irl/pendulum"
    assert "irl/pendulum" not in bases()
    assert "base: irl/pendulum" in printed
