"""Sweeps that ship: the command line takes every command that a W&B agent makes from one."""

import itertools

import pytest
import yaml

from lightning_irl.command.cli import main
from lightning_irl.command.named_configs import CONFIGS, SWEEPS

FOLDER = CONFIGS / SWEEPS


def corners(parameters):
    """The ends of every parameter's range, in all combinations."""
    ends = [spec.get("values") or [spec["min"], spec["max"]] for spec in parameters.values()]
    for values in itertools.product(*([end[0], end[-1]] for end in ends)):
        yield dict(zip(parameters, values, strict=True))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_agents_commands_are_understood(path, tmp_path, monkeypatch, capsys):
    agent = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    monkeypatch.chdir(tmp_path)
    sweep = yaml.safe_load(path.read_text())
    assert sweep["program"] == "lightning-irl"
    assert sweep["command"][-1] == "${args}"
    for values in corners(sweep["parameters"]):
        command = {"args": {name: {"value": value} for name, value in values.items()}}
        flags = agent.create_sweep_command_args(command)["args"]
        assert main([*sweep["command"][1:-1], *flags, "--print_config"]) == 0
        config = yaml.safe_load(capsys.readouterr().out)
        for name, value in values.items():
            found = config
            for key in name.split("."):
                found = found[key]
            assert found == (yaml.safe_load(value) if isinstance(value, str) else value)
