"""The W&B workspace: its panels are of keys that are documented, and it is refused clearly where it cannot be made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lightning_irl.command.cli import main
from lightning_irl.command.workspace import METHODS, SECTIONS, workspace

KEYS = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()


def documented(key):
    for method in METHODS:
        key = key.removesuffix(f"_{method}") + "_METHOD" * key.endswith(f"_{method}")
    return f"`{key.replace('val/', 'STAGE/')}`" in KEYS


def test_every_panel_is_of_a_documented_key():
    keys = [key for lines, images in SECTIONS.values() for some in [*lines.values(), images] for key in some]
    assert len(keys) == len(set(keys)) > 40
    assert not [key for key in keys if not documented(key)]


def test_what_is_sent_has_every_section_and_key():
    pytest.importorskip("wandb_workspaces")
    sent = workspace("someone", "lightning-irl", "mine")._to_model().model_dump_json(by_alias=True)
    for title, (lines, images) in SECTIONS.items():
        assert title in sent
        assert all(key in sent for some in [*lines.values(), images] for key in some)
    assert '"xAxis":"environment_steps"' in sent.replace(": ", ":")


def test_nobody_is_logged_in(capsys, monkeypatch):
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["workspace", "--entity", "someone"]) == 2
    assert "wandb login" in capsys.readouterr().err


def test_the_package_is_missing(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    assert main(["workspace", "--entity", "someone"]) == 2
    assert "lightning-irl[wandb]" in capsys.readouterr().err
