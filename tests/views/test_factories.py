"""A view built in Python comes back from its checkpoint with what is plain data, and says by name what is not."""

import warnings
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_irl.costs import MLPCost
from lightning_irl.learners import ScoreFunction
from lightning_irl.mcmc import Chains
from lightning_irl.regularisers import EnergyMagnitude
from lightning_irl.samplers import GaussianSampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event
from lightning_irl.views import EBM, GAN

EVENT = make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0])
PAIR = {"cost": partial(MLPCost, hidden=[4]), "sampler": GaussianSampler}
GIVEN = {
    "regularisers": [partial(EnergyMagnitude, weight=0.25)],
    "cost_optimizer": partial(torch.optim.SGD, lr=0.3),
    "cost_scheduler": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3),
    "learner": ScoreFunction,
}


def saved(path, view):
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(view, DataLoader([Batch(torch.randn(8, 2), torch.zeros(8))], batch_size=None))
    trainer.save_checkpoint(path)
    return path


def loaded(kind, path, **options):
    """A view from its checkpoint, and what was said of what it lacks."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        view = kind.load_from_checkpoint(path, weights_only=True, **options)
    return view, [str(one.message) for one in found if "not restored" in str(one.message)]


def test_what_a_checkpoint_cannot_hold_is_said_by_name_until_it_is_given(tmp_path):
    path = saved(tmp_path / "a.ckpt", GAN(EVENT, **PAIR, **GIVEN, temperature=np.float32(0.5)))
    view, (line,) = loaded(GAN, path, **PAIR)
    assert view.temperature == 0.5
    for words in (
        "regularisers=[partial(EnergyMagnitude, weight=0.25)]",
        "cost_optimizer=partial(SGD, lr=0.3)",
        "cost_scheduler=a lambda",
        "learner=ScoreFunction",
        "load_from_checkpoint(path, learner=..., regularisers=..., cost_optimizer=..., cost_scheduler=...)",
    ):
        assert words in line
    assert len(line.splitlines()) == 1
    view, said = loaded(GAN, path, **PAIR, **GIVEN)
    assert said == []
    assert [one.name for one in view.regularisers] == ["energy_magnitude"]
    assert view.cost_optimizer is GIVEN["cost_optimizer"]


def test_so_are_the_options_of_the_ebm_view(tmp_path):
    chains = partial(Chains, steps=3, buffer_size=32)
    path = saved(tmp_path / "a.ckpt", EBM(EVENT, **PAIR, negative_phase="mcmc", chains=chains))
    view, (line,) = loaded(EBM, path, **PAIR)
    assert "chains=partial(Chains, steps=3, buffer_size=32)" in line
    assert view.hparams["negative_phase"] == "mcmc"


@pytest.mark.parametrize("key", [None, "factories"])
def test_a_view_of_defaults_and_a_checkpoint_of_before_say_nothing(tmp_path, key):
    path = saved(tmp_path / "a.ckpt", GAN(EVENT, **PAIR))
    if key:
        checkpoint = torch.load(path, weights_only=True)
        del checkpoint[key]
        torch.save(checkpoint, path)
    assert loaded(GAN, path, **PAIR)[1] == []
