"""The wheel has what git tracks, each file once, and no top-level package but ours."""

import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from lightning_irl._moved import MOVED

ROOT = Path(__file__).parent.parent
MAPPED = ("datamodules", "callbacks", "configs")  # at the root, and links to them in the package
BUILD = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"


def tracked():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listing.stdout.splitlines() if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what git tracks, so that nothing left over from another build is in it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    subprocess.run([sys.executable, "-c", BUILD, target], cwd=source, check=True, capture_output=True)
    (path,) = target.glob("*.whl")
    return path


def test_the_wheel_is_what_git_tracks(wheel):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    expected = [
        name if name.startswith("lightning_irl/") else f"lightning_irl/{name}"
        for name in tracked()
        if name.startswith(("lightning_irl/", *(f"{folder}/" for folder in MAPPED))) and not (ROOT / name).is_symlink()
    ]
    assert not [name for name, count in Counter(names).items() if count > 1]
    assert sorted(names) == sorted(expected)
    assert "lightning_irl/configs/gan/eight_gaussians.yaml" in names
    assert {name.split("/")[0] for name in names} == {"lightning_irl"}


def test_the_mapped_folders_are_parts_of_the_package(wheel, tmp_path):
    """In the wheel; and in the checkout, where they are links."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    find = "import importlib.util, sys; print([importlib.util.find_spec(name).origin for name in sys.argv[1:]])"
    names = [f"lightning_irl.{folder}" for folder in MAPPED]
    for root in (tmp_path, ROOT):
        done = subprocess.run(
            [sys.executable, "-c", find, *names], cwd=root, check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == str([str(root / "lightning_irl" / folder / "__init__.py") for folder in MAPPED])


def test_the_lowest_versions_that_are_run_are_those_that_are_declared():
    declared = dict(re.findall(r'"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)', (ROOT / "pyproject.toml").read_text()))
    run = dict(re.findall(r"(?m)^([\w-]+)(?:\[[\w,]+\])?==([\d.]+)", (ROOT / "tests/lowest-versions.txt").read_text()))

    def number(version):
        parts = [int(part) for part in version.split(".")]
        return parts + [0] * (3 - len(parts))

    for name in ("ruff", "mypy"):  # not run there
        del declared[name]
    assert {name: number(version) for name, version in run.items()} == {
        name: number(version) for name, version in declared.items()
    }


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_import_path_is_the_same_module(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved to {MOVED[old]}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__.name == MOVED[old]


@pytest.mark.long
def test_what_configs_of_earlier_runs_name_is_still_there():
    for path in (
        "lightning_irl.views.view.default_optimizer",
        "lightning_irl.schedules.DecayToZero",
        "lightning_irl.optimizers.MuonAdam",
    ):
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
