"""A cost is exported with any batch size."""

import pytest
import torch

from lightning_irl.costs import ConvCost, MLPCost, QuadraticCost
from lightning_irl.event import make_event


@pytest.mark.parametrize(
    ("kind", "shape", "cost", "support"),
    [
        ("point", [2], MLPCost, "real"),
        ("point", [2], MLPCost, "box"),
        ("point", [2], QuadraticCost, "real"),
        ("image", [1, 8, 8], ConvCost, "box"),
        ("image", [1, 8, 8], ConvCost, "real"),
    ],
)
def test_any_batch_size(kind, shape, cost, support):
    made = cost(make_event(kind, shape, support=support)).eval()
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(made, (torch.rand(4, *shape),), dynamic_shapes=({0: batch},))
    other = torch.rand(7, *shape)
    torch.testing.assert_close(exported.module()(other), made(other))
