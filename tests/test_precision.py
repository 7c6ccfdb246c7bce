"""bf16-mixed: the cost's network in bfloat16, densities and everything made of them in float32."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from lightning_irl import objectives
from lightning_irl.costs import ConvCost, MLPStepCost, TiltedCost, TrajectoryCost
from lightning_irl.datamodules import DigitsDataModule
from lightning_irl.datamodules.memory import MemoryDataModule, Splits
from lightning_irl.environments import Pendulum
from lightning_irl.learners import PPO
from lightning_irl.mcmc import Chains
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import FlowSampler, GaussianMixtureSampler, MultiscaleFlow, PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import EBM, GAN, IRL

SIZE = 16
flow = partial(FlowSampler, transforms=2, hidden=[16])


@pytest.fixture(scope="module")
def digits():
    return DigitsDataModule(batch_size=SIZE, steps_per_epoch=6)


def moved(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("sampler", [flow, partial(MultiscaleFlow, hidden=[8, 8]), GaussianMixtureSampler])
def test_autocast_leaves_densities_and_draws_alone(sampler, digits):
    sampler = moved(sampler(digits.event))
    torch.manual_seed(1)
    samples, log_q = sampler.sample(SIZE)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again, again_log_q = sampler.sample(SIZE)
        scored = sampler.log_prob(samples)
        assert torch.mm(samples.flatten(1), samples.flatten(1).T).dtype == torch.bfloat16  # it is on
    assert torch.equal(samples, again)
    assert torch.equal(log_q, again_log_q)
    assert torch.equal(scored, sampler.log_prob(samples))


def pendulum():
    event = make_trajectory_event(10, [3], action_shape=[1], action_low=[-2], action_high=[2])
    cost = partial(TrajectoryCost, step_cost=MLPStepCost)
    policy = partial(PolicySampler, environment=Pendulum(), policy=ClippedGaussianPolicy)
    view = IRL(event, cost, policy, learner=partial(PPO, passes=1, minibatches=2), num_samples=SIZE)
    whole = view.sampler.sample(4 * SIZE)[0]
    return view, MemoryDataModule(event, Splits(whole, whole, whole), batch_size=SIZE, steps_per_epoch=6)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gan", "tilted", "mcmc", "irl"])
def test_every_view_trains_in_bf16_mixed(kind, digits):
    views = {
        "gan": lambda: (GAN(digits.event, ConvCost, flow), digits),
        "tilted": lambda: (EBM(digits.event, partial(TiltedCost, cost=ConvCost), flow, warm_start=2), digits),
        "mcmc": lambda: (
            EBM(digits.event, ConvCost, flow, negative_phase="mcmc", chains=partial(Chains, steps=2, buffer_size=SIZE)),
            digits,
        ),
        "irl": pendulum,
    }
    view, data = views[kind]()
    dtypes = set()
    view.cost.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(view, data)
    assert torch.isfinite(torch.cat([parameter.flatten() for parameter in view.parameters()])).all()
    assert view.log_z.dtype == torch.float32
    assert {value.dtype for value in trainer.callback_metrics.values()} == {torch.float32}
    samples, log_q = view.pair.draw(SIZE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = view.energy(samples)
        found = objectives.importance_log_z(cost, log_q)
    assert cost.dtype == found.dtype == torch.float32
    # the log of a mean of exponentials, of the costs as they came out, loses nothing
    assert abs(float(found) - float(objectives.importance_log_z(cost.double(), log_q.double()))) < 1e-5 * (
        1 + abs(float(found))
    )
