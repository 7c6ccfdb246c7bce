"""How torch's threads wait: so that they leave a busy machine's cores to others, unless the user has said otherwise."""

import os

import pytest

from lightning_irl.__main__ import HOW_THREADS_WAIT, share_cores

NAMES = ["OMP_WAIT_POLICY", *HOW_THREADS_WAIT]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(os, "environ", {key: value for key, value in os.environ.items() if key not in NAMES})


def test_they_soon_sleep():
    share_cores()
    assert {name: os.environ[name] for name in HOW_THREADS_WAIT} == HOW_THREADS_WAIT


@pytest.mark.parametrize("name", NAMES)
def test_what_a_user_says_holds(name):
    os.environ[name] = "active" if name == "OMP_WAIT_POLICY" else "300000"
    before = dict(os.environ)
    share_cores()
    assert os.environ == before
