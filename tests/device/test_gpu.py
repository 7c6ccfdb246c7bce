"""What needs a CUDA device; `make test-gpu`."""

import copy

import pytest
import pytorch_lightning as pl
import torch

from lightning_irl import objectives
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.samplers import DefensiveSampler, FlowSampler, GaussianMixtureSampler
from lightning_irl.views import EBM, GAN

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def data():
    return ToyDataModule(train_size=512, val_size=128, test_size=64, batch_size=128)


def trainer(**options):
    quiet = {
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
    }
    return pl.Trainer(max_epochs=2, accelerator="gpu", devices=1, **quiet, **options)


@pytest.mark.parametrize("view", [GAN, EBM])
@pytest.mark.parametrize("sampler", [FlowSampler, GaussianMixtureSampler])
def test_the_same_loss_and_gradient_as_on_the_cpu(view, sampler):
    served = data()
    here = view(served.event, MLPCost, sampler).double()
    there = copy.deepcopy(here).cuda()
    demonstrations = served.splits.train[:64].double()
    samples, log_q = here.sampler.sample(96)
    losses = [
        here.cost_loss(demonstrations, samples, log_q),
        there.cost_loss(demonstrations.cuda(), samples.cuda(), log_q.cuda()),
    ]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1].cpu(), losses[0], rtol=1e-10, atol=1e-10)
    for mine, other in zip(here.cost.parameters(), there.cost.parameters(), strict=True):
        torch.testing.assert_close(other.grad.cpu(), mine.grad, rtol=1e-8, atol=1e-10)


def test_optimal_log_z_on_the_device():
    demo, sample = torch.randn(100, dtype=torch.float64), torch.randn(120, dtype=torch.float64) - 3
    here = objectives.optimal_log_z(demo, 0 * demo, sample, 0 * sample)
    there = objectives.optimal_log_z(*(values.cuda() for values in (demo, 0 * demo, sample, 0 * sample)))
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-12)


@pytest.mark.parametrize("view", [GAN, EBM])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_fit(view, precision):
    served = data()
    model = view(served.event, MLPCost, lambda event: DefensiveSampler(event, FlowSampler))
    trainer(precision=precision).fit(model, served)
    assert torch.isfinite(model.log_z)


def test_nccl():
    served = data()
    model = GAN(served.event, MLPCost, FlowSampler)
    trainer(strategy=pl.strategies.DDPStrategy(process_group_backend="nccl")).fit(model, served)
    assert torch.isfinite(model.log_z)
