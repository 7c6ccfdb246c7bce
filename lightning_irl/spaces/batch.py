"""What a data module serves."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch of demonstrations.

    Attributes:
        samples: B demonstrations as served: a tensor (B, *shape), or a named tuple of tensors such as a Trajectory.
        log_det: log |d served / d raw| of each (B,), in nats, from scaling and logit transforms. The density of the raw
            (dequantised) data is that of the served data times exp(log_det).
    """

    samples: Any
    log_det: Tensor
