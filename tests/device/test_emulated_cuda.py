"""The emulated device keeps CUDA's rules: an emulation that allows too much would hide what breaks on a device."""

import pytest
import torch
from emulated_cuda import EmulatedCUDA

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real device")


@pytest.fixture
def device():
    with EmulatedCUDA() as device:
        yield device


def test_numbers_are_those_of_the_cpu_and_stay_there(device):
    here = torch.linspace(0, 1, 6).view(2, 3)
    there = here.to("cuda")
    assert there.is_cuda
    assert str((there @ there.T).exp().device) == "cuda:0"
    torch.testing.assert_close((there @ there.T).exp().cpu(), (here @ here.T).exp(), rtol=0, atol=0)


def test_devices_do_not_mix_but_for_scalars(device):
    there = torch.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    assert (there + torch.tensor(1.0)).sum().item() == 6
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.all()),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.multinomial(x, 1),
        lambda x: x.new_tensor(1.0),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: torch.eye(3).to(x),
        lambda x: x.tolist(),
    ],
)
def test_what_waits_is_recorded(device, wait):
    there = torch.ones(3, device="cuda")
    before = device.waits.total()
    wait(there)
    assert device.waits.total() > before


@pytest.mark.parametrize(
    "free",
    [
        lambda x: x * 2 + torch.arange(3, device=x.device),
        lambda x: x.to("cuda"),
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.new_full((2,), 3.0),
        lambda x: x.sort().values.cumsum(0),
        lambda x: torch.randn(3, device=x.device).clamp(min=0),
    ],
)
def test_what_does_not_wait_is_not(device, free):
    there = torch.ones(3, device="cuda")
    before = device.waits.total()
    free(there)
    assert device.waits.total() == before


def test_a_device_without_float64():
    with EmulatedCUDA(has_float64=False), pytest.raises(TypeError, match="float64"):
        torch.ones(3, device="cuda").double()
