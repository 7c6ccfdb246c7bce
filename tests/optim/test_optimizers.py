"""Each part does what PyTorch's own optimizer does alone, and a saved run goes on as if it had not stopped."""

import io
import math

import pytest
import torch
from torch import nn

from lightning_irl.errors import UserError
from lightning_irl.optim.optimizers import MuonAdam
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.views.trainer_limits import check_descent


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 24), nn.SiLU(), nn.Linear(24, 1))


def descend(model, optimizers, schedulers, steps):
    for step in steps:
        x = torch.randn(64, 2, generator=torch.Generator().manual_seed(step))
        loss = (model(x).squeeze(-1) - x.square().sum(-1)).square().mean()
        model.zero_grad()
        loss.backward()
        for part in [*optimizers, *schedulers]:
            part.step()


def assert_same(left, right):
    for one, other in zip(left.parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_each_part_is_pytorchs_own_with_schedules():
    ours, apart = network(), network()
    optimizer = MuonAdam(ours.parameters(), lr=1e-2, muon_lr=3e-2, weight_decay=0.1)
    descend(ours, [optimizer], [DecayToZero(optimizer, 20, warmup=3)], range(15))
    hidden = [apart[2].weight]
    rest = [parameter for parameter in apart.parameters() if parameter is not hidden[0]]
    optimizers = torch.optim.Adam(rest, lr=1e-2), torch.optim.Muon(hidden, lr=3e-2, weight_decay=0.1, momentum=0.95)
    descend(apart, optimizers, [DecayToZero(optimizer, 20, warmup=3) for optimizer in optimizers], range(15))
    assert_same(ours, apart)


def test_a_saved_run_continues_exactly():
    whole, stopped = network(), network()
    optimizer = MuonAdam(whole.parameters())
    descend(whole, [optimizer], [DecayToZero(optimizer, 20)], range(12))

    optimizer = MuonAdam(stopped.parameters())
    scheduler = DecayToZero(optimizer, 20)
    descend(stopped, [optimizer], [scheduler], range(5))
    file = io.BytesIO()
    torch.save([stopped.state_dict(), optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    states = torch.load(file, weights_only=True)

    resumed = nn.Sequential(*(type(layer)(*sizes(layer)) for layer in stopped))
    optimizer = MuonAdam(resumed.parameters())
    scheduler = DecayToZero(optimizer, 20)
    for part, state in zip([resumed, optimizer, scheduler], states, strict=True):
        part.load_state_dict(state)
    descend(resumed, [optimizer], [scheduler], range(5, 12))
    assert_same(whole, resumed)


def sizes(layer):
    return (layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else ()


@pytest.mark.parametrize(
    ("shape", "kind"), [((32, 32), "Muon"), ((32,), "Adam"), ((8, 64), "Adam"), ((16, 2, 3, 3), "Adam")]
)
def test_what_is_whose(shape, kind):
    parameter = nn.Parameter(torch.randn(shape))
    parameter.grad = torch.randn(shape)
    optimizer = MuonAdam([parameter], lr=1e-2, muon_lr=1e-2)
    assert [type(part).__name__ for part in optimizer.parts] == [kind]
    before = parameter.detach().clone()
    optimizer.step()
    assert (parameter - before).abs().max() > 1e-5


def test_what_is_added_later_is_adams():
    parameter, later = nn.Parameter(torch.randn(32, 32)), nn.Parameter(torch.zeros(()))
    optimizer = MuonAdam([parameter], lr=1e-2)
    optimizer.add_param_group({"params": [later], "lr": 0.1})
    parameter.grad, later.grad = torch.randn(32, 32), torch.tensor(3.0)
    optimizer.step()
    torch.testing.assert_close(later.detach(), torch.tensor(-0.1))  # Adam's first step is the learning rate
    assert [type(part).__name__ for part in optimizer.parts] == ["Muon", "Adam"]


def test_a_closure_is_called_with_gradients_and_its_loss_returned():
    parameter = nn.Parameter(torch.ones(3))
    optimizer = MuonAdam([parameter])

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss.detach()

    assert optimizer.step(closure) == 3
    assert (parameter < 1).all()


def test_bad_input():
    with pytest.raises(ValueError, match="empty parameter list"):
        MuonAdam([])
    with pytest.raises(ValueError, match=r"[Ll]earning rate"):
        MuonAdam([nn.Parameter(torch.randn(32, 32))], muon_lr=-1)


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_a_schedule_without_a_total_takes_that_of_the_run(shape):
    def rates(total, run):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = DecayToZero(optimizer, total, warmup=3, shape=shape)
        check_descent("cost", optimizer, scheduler, run)
        found = []
        for _ in range(12):
            found.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        return found, scheduler

    given, _ = rates(10, run=20)
    taken, scheduler = rates(None, run=10)
    assert taken == given
    assert taken[9] > 0 == taken[10]
    other = DecayToZero(scheduler.optimizer, warmup=3, shape=shape)
    other.load_state_dict(scheduler.state_dict())
    assert other.total == 10, "a run that is resumed keeps the total of its checkpoint"


def test_a_run_shorter_than_its_warm_up_ends_within_it():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = DecayToZero(optimizer, warmup=4)
    scheduler.take_length(2)
    assert [scheduler.factor(batch) for batch in range(5)] == [0.25, 0.5, 0.75, 1.0, 0.0]


def test_a_schedule_without_any_length_says_what_to_give():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="give total, or set trainer"):
        DecayToZero(optimizer).factor(1)
    check_descent("cost", optimizer, DecayToZero(optimizer), None)  # looked at without a trainer
    with pytest.raises(UserError, match="cost_scheduler: DecayToZero has no total"):
        check_descent("cost", optimizer, DecayToZero(optimizer), math.inf)
    check_descent("cost", optimizer, DecayToZero(optimizer, total=5), math.inf)
    with pytest.raises(ValueError, match="warmup is -1 batches"):
        DecayToZero(optimizer, warmup=-1)
    with pytest.raises(ValueError, match="warmup is 0 of total 0 batches"):
        DecayToZero(optimizer, total=0)
