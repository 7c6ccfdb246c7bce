"""What the command line refuses is refused from Python too, before training, and looking leaves no trace."""

from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import FSDPStrategy

from lightning_irl.costs import MLPCost, MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import MemoryDataModule, Splits
from lightning_irl.environments import Pendulum
from lightning_irl.errors import UserError
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import FlowSampler, GaussianSampler, PolicySampler
from lightning_irl.spaces import make_event, make_trajectory_event
from lightning_irl.views import GAN, checks

PLANE = make_event("point", [2])


class Column(MLPCost):
    def forward(self, samples):
        return super().forward(samples)[:, None]


class Picky(MLPCost):
    def forward(self, samples):
        raise TypeError(f"takes nothing, not even {list(samples.shape[1:])}")


class Flat(GaussianSampler):
    def sample(self, num_samples):
        samples, log_q = super().sample(num_samples)
        return samples[:, 0], log_q


class Silent(GaussianSampler):
    def sample(self, num_samples):
        return super().sample(num_samples)[0], None


class PerCoordinate(GaussianSampler):
    def sample(self, num_samples):
        samples, log_q = super().sample(num_samples)
        return samples, log_q[:, None].expand(-1, 2)


class TwiceAsLong(ClippedGaussianPolicy):
    def sample(self, observation, time):
        action, log_pi = super().sample(observation, time)
        return action, log_pi[:, None].expand(-1, 2)


def data():
    points = torch.linspace(-1, 1, 128).view(64, 2)
    return MemoryDataModule(PLANE, Splits(points, points[:8], points[:8]), batch_size=16)


def view(cost=MLPCost, sampler=GaussianSampler, hidden=4, **options):
    torch.manual_seed(0)
    return GAN(PLANE, partial(cost, hidden=[hidden]), sampler, **options)


def trainer(folder, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    return pl.Trainer(**{**quiet, "max_epochs": 1, "default_root_dir": folder, **options})


@pytest.mark.parametrize("verb", ["fit", "test"])
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"cost": Column}, r"cost Column has shape \[2, 1\] for 2 samples; it must be \[2\]"),
        ({"cost": Picky}, r"cost Picky cannot take samples of the data's shape \[2\]: takes nothing"),
        ({"sampler": Flat}, r"sampler Flat draws samples of shape \[\], the data has \[2\]"),
        ({"sampler": Silent}, "sampler Silent says has_density, but its sample.. gives no log q"),
        ({"sampler": PerCoordinate}, r"log q of sampler PerCoordinate has shape \[2, 2\] for 2 samples"),
    ],
)
def test_a_pair_that_breaks_the_contract_is_refused_before_training(tmp_path, parts, words, verb):
    with pytest.raises(UserError, match=words):
        getattr(trainer(tmp_path), verb)(view(**parts), datamodule=data())


@pytest.mark.parametrize("policy", [ClippedGaussianPolicy, TwiceAsLong])
def test_a_policy_is_looked_at_without_acting(policy):
    """Its actions at a start stand in for its draws; from the command line it acts."""
    event = make_trajectory_event(5, [3], action_shape=[1], action_low=[-2], action_high=[2])
    sampler = partial(PolicySampler, environment=Pendulum(), policy=policy)
    model = GAN(event, partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[4])), sampler)
    random = torch.get_rng_state()
    if policy is TwiceAsLong:
        with pytest.raises(UserError, match=r"log q of sampler PolicySampler has shape \[2, 2\] for 2 samples"):
            checks.check_pair(model, may_act=False)
    else:
        checks.check_pair(model, may_act=False)
        drawn, _ = model.sampler.sample(2)
        stood, _ = checks.standing_still(model.sampler, drawn.observations[:, 0])
        assert [(part.shape, part.dtype) for part in stood] == [(part.shape, part.dtype) for part in drawn]
        model.sampler.environment_steps.zero_()
        torch.set_rng_state(random)
    assert torch.equal(torch.get_rng_state(), random)
    assert int(model.sampler.environment_steps) == 0


def test_a_strategy_that_shards_is_refused():
    with pytest.raises(UserError, match=r"FSDPStrategy shards parameters(.|\n)*Trainer\(strategy='ddp'\)"):
        checks.check_setup(view(), SimpleNamespace(strategy=FSDPStrategy()))


def test_the_pair_is_looked_at_once_and_nothing_changes(tmp_path, monkeypatch):
    """Random numbers, weights and buffers are to the last bit those of a run that is not looked at."""
    states = []
    for is_checked in (True, False):
        calls = []
        with monkeypatch.context() as patched:
            if not is_checked:
                patched.setattr(checks, "check_pair", lambda *_, **options: None)
            model = view(sampler=FlowSampler)
            model.cost.register_forward_hook(lambda *_, calls=calls: calls.append(1))
            torch.manual_seed(1)
            trainer(tmp_path).fit(model, datamodule=data())
            trainer(tmp_path).test(model, datamodule=data(), verbose=False)
        states.append({**model.state_dict(), "random": torch.get_rng_state(), "calls": torch.tensor(len(calls))})
    assert states[0].pop("calls") == states[1].pop("calls") + 1
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_checkpoint_that_cannot_be_resumed_is_refused_by_name(tmp_path):
    run = trainer(tmp_path)
    run.fit(view(), datamodule=data())
    path = tmp_path / "whole.ckpt"
    run.save_checkpoint(path)
    for name, options in {"cost.": {"hidden": 8}, "has 2 optimizers, this config 1": {"sampler_steps": 0}}.items():
        with pytest.raises(UserError, match=rf"whole\.ckpt (.|\n)*{name}"):
            trainer(tmp_path, max_epochs=2).fit(view(**options), datamodule=data(), ckpt_path=path)
    run.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    with pytest.raises(UserError, match=r"weights.ckpt lacks optimizer_states.*view\.init_from"):
        trainer(tmp_path, max_epochs=2).fit(view(), datamodule=data(), ckpt_path=tmp_path / "weights.ckpt")
    trainer(tmp_path).test(view(), datamodule=data(), ckpt_path=tmp_path / "weights.ckpt", verbose=False)
    resumed = view()
    trainer(tmp_path, max_epochs=2).fit(resumed, datamodule=data(), ckpt_path=path)
    assert resumed.batches == 8
