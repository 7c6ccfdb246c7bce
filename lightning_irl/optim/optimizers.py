"""Optimizers for costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class MuonAdam(Optimizer):
    """Muon for the matrices between hidden layers, Adam for the rest: first and last layers, biases, convolutions.

    Muon's update of a matrix has equal singular values, so that directions with small gradients are learned too. An
    energy has many of them (the shape of a mode, compared with the depth of all modes). Both are PyTorch's own.

    Args:
        params: parameters to train.
        lr: learning rate of Adam.
        muon_lr: learning rate of Muon, the spectral norm of a square matrix's update.
        betas: of Adam.
        momentum: of Muon.
        weight_decay: decoupled, of the matrices only.
        least_side: smallest side of a matrix that Muon trains.

    Raises:
        ValueError: if a learning rate is negative or there are no parameters.

    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
        >>> [len(group["params"]) for group in MuonAdam(network.parameters()).param_groups]
        [5, 1]
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        muon_lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        least_side: int = 16,
    ) -> None:
        params = list(params)
        is_hidden = [parameter.ndim == 2 and min(parameter.shape) >= least_side for parameter in params]
        rest = [parameter for parameter, hidden in zip(params, is_hidden, strict=True) if not hidden]
        hidden = [parameter for parameter, hidden in zip(params, is_hidden, strict=True) if hidden]
        self.parts: list[Optimizer] = []
        if rest:
            self.parts.append(torch.optim.Adam(rest, lr=lr, betas=betas))
        if hidden:
            self.parts.append(torch.optim.Muon(hidden, lr=muon_lr, momentum=momentum, weight_decay=weight_decay))
        super().__init__([group for part in self.parts for group in part.param_groups], {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Give parameters that are added later, such as a learned log_z, to Adam, whatever their shape."""
        if len(self.param_groups) == len(self.parts):
            part = torch.optim.Adam([param_group], lr=self.defaults["lr"])
            self.parts.append(part)
            (param_group,) = part.param_groups
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; return the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part, group in zip(self.parts, self.param_groups, strict=True):
            # schedulers and checkpoints see the groups and state of the outer optimizer
            part.param_groups, part.state = [group], self.state
            part.step()
        return loss
