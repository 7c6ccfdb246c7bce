"""What README shows is what runs."""

import re
import sys
from pathlib import Path

import pytest

from lightning_irl.command.cli import main
from lightning_irl.command.named_configs import CONFIGS

README = (Path(__file__).parents[2] / "README.md").read_text()


def example(name):
    found = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"README shows no {name}"
    return found.group(1)


def test_a_cost_and_a_view_of_ones_own(tmp_path, monkeypatch):
    for name in ("mine.py", "mine.yaml"):
        (tmp_path / name).write_text(example(name))
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # other tests have a module of that name
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    small = ["--data.steps_per_epoch=2", "--data.train_size=512", "--data.val_size=256", "--trainer.max_epochs=1"]
    assert main(["fit", "--config", "mine.yaml", "--threads=1", "--partition.num_chains=64", *small]) == 0
    run = next((tmp_path / "runs").rglob("partition_val.json")).parent
    assert list(run.glob("figures/samples/plane/*.png"))
    assert main(["verify", "--config", "mine.yaml", "--threads=1"]) == 0


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:--config |`)((?:gan|ebm|logger|trainer)/\w+)", README))))
def test_configs_that_are_named_exist(name):
    assert (CONFIGS / f"{name}.yaml").is_file()


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parents[2] / target).exists(), target
