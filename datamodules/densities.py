"""Two-dimensional densities that can be sampled and whose log density is exact."""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


class Density(abc.ABC):
    """A density on the plane.

    Attributes:
        box: edges (low, high) of the square that is its support; None for the whole plane.
    """

    box: tuple[float, float] | None = None

    @abc.abstractmethod
    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draw samples (num_samples, 2)."""

    @abc.abstractmethod
    def log_prob(self, samples: Tensor) -> Tensor:
        """Log density of samples (B, 2); (B,), in nats."""


class GaussianMixture(Density):
    """Equal isotropic Gaussians at the given centres (K, 2), or along a curve given by its points."""

    def __init__(self, centres: Tensor, std: float) -> None:
        self.centres, self.std = centres, std

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        component = torch.randint(len(self.centres), (num_samples,), generator=generator)
        return self.centres[component] + self.std * torch.randn(num_samples, 2, generator=generator)

    def log_prob(self, samples: Tensor) -> Tensor:
        centres = self.centres.to(samples)
        log_kernel = [
            torch.logsumexp(-(part[:, None] - centres).square().sum(-1) / (2 * self.std**2), -1)
            for part in samples.split(4096)  # a grid times the points of a curve need not fit in memory
        ]
        return torch.cat(log_kernel) - math.log(len(self.centres)) - 2 * math.log(self.std) - LOG_2PI


class EightGaussians(GaussianMixture):
    """Eight Gaussians on a circle of radius 2."""

    def __init__(self, std: float = 0.15) -> None:
        angle = torch.arange(8) * (2 * math.pi / 8)
        super().__init__(2 * torch.stack([angle.cos(), angle.sin()], -1), std)


class TwoMoons(GaussianMixture):
    """Two interleaved half circles with Gaussian noise; each is a ridge of 256 Gaussians, far finer than the noise."""

    def __init__(self, std: float = 0.1) -> None:
        angle = math.pi * (torch.arange(256) + 0.5) / 256
        upper = torch.stack([angle.cos(), angle.sin()], -1)
        lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], -1)
        super().__init__(torch.cat([upper, lower]) - torch.tensor([0.5, 0.25]), std)


class Spirals(GaussianMixture):
    """Two interleaved spirals with Gaussian noise; each is a ridge of 512 Gaussians, far finer than the noise."""

    def __init__(self, std: float = 0.1) -> None:
        turn = 3 * math.pi * torch.sqrt((torch.arange(512) + 0.5) / 512)
        arm = torch.stack([-turn.cos() * turn, turn.sin() * turn], -1) / 3
        super().__init__(torch.cat([arm, -arm]), std)


class Checkerboard(Density):
    """Uniform on the eight dark unit squares of a 4 x 4 board over [-2, 2]^2."""

    box = (-2.0, 2.0)

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        first = 4 * torch.rand(num_samples, generator=generator) - 2
        step = 2 * torch.randint(0, 2, (num_samples,), generator=generator)
        second = torch.rand(num_samples, generator=generator) - step + first.floor() % 2
        return torch.stack([first, second], -1)

    def log_prob(self, samples: Tensor) -> Tensor:
        row, column = samples.floor().unbind(-1)
        is_dark = (samples.abs() < 2).all(-1) & ((row + column) % 2 == 0)
        return torch.where(is_dark, -math.log(8.0), -math.inf).to(samples)


class Pinwheel(Density):
    """Five blades: Gaussians long in radius, turned by an angle that grows with the radius.

    A rotation by an angle that depends on the radius alone keeps areas, so the density is the Gaussians' own.
    """

    blades, radial, tangential, swirl = 5, 0.3, 0.08, 0.6

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num_samples, 2, generator=generator)
        flat = torch.stack([1 + self.radial * noise[:, 0], self.tangential * noise[:, 1]], -1)
        blade = torch.randint(self.blades, (num_samples,), generator=generator)
        return 1.5 * self._rotate(flat, 2 * math.pi * blade / self.blades + self._turn(flat))

    def log_prob(self, samples: Tensor) -> Tensor:
        samples = samples / 1.5
        angle = 2 * math.pi * torch.arange(self.blades, device=samples.device) / self.blades
        flat = self._rotate(samples[:, None], -angle - self._turn(samples)[:, None])
        scale = samples.new_tensor([self.radial, self.tangential])
        standard = (flat - samples.new_tensor([1.0, 0.0])) / scale
        log_blade = -standard.square().sum(-1) / 2 - scale.log().sum() - LOG_2PI
        return torch.logsumexp(log_blade, -1) - math.log(self.blades) - 2 * math.log(1.5)

    def _turn(self, points: Tensor) -> Tensor:
        return self.swirl * torch.exp(points.norm(dim=-1))

    @staticmethod
    def _rotate(points: Tensor, angle: Tensor) -> Tensor:
        x, y = points.unbind(-1)
        return torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)


class Rings(Density):
    """Three concentric circles of radius 0.6, 1.4, 2.2, in proportion to their length, with Gaussian noise.

    A circle with Gaussian noise has the density :math:`e^{-(r-R)^2/2s^2} I_0^e(rR/s^2) / 2\\pi s^2`.
    """

    radii, std = (0.6, 1.4, 2.2), 0.08

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        radii = torch.tensor(self.radii)
        ring = torch.multinomial(radii, num_samples, replacement=True, generator=generator)
        angle = 2 * math.pi * torch.rand(num_samples, generator=generator)
        circle = radii[ring, None] * torch.stack([angle.cos(), angle.sin()], -1)
        return circle + self.std * torch.randn(num_samples, 2, generator=generator)

    def log_prob(self, samples: Tensor) -> Tensor:
        radii = samples.new_tensor(self.radii)
        radius = samples.norm(dim=-1, keepdim=True)
        log_bessel = torch.special.i0e(radius * radii / self.std**2).log()
        log_ring = -(radius - radii).square() / (2 * self.std**2) + log_bessel - 2 * math.log(self.std) - LOG_2PI
        return torch.logsumexp(log_ring + (radii / radii.sum()).log(), -1)


class Funnel(Density):
    """Neal's funnel (2003): x_1 ~ N(0, 1), x_2 ~ N(0, exp(x_1)); skewed, with a thin neck."""

    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num_samples, 2, generator=generator)
        return torch.stack([noise[:, 0], noise[:, 1] * torch.exp(noise[:, 0] / 2)], -1)

    def log_prob(self, samples: Tensor) -> Tensor:
        first, second = samples.unbind(-1)
        return -(first.square() + second.square() * torch.exp(-first) + first) / 2 - LOG_2PI


DENSITIES: dict[str, type[Density]] = {
    "eight_gaussians": EightGaussians,
    "two_moons": TwoMoons,
    "checkerboard": Checkerboard,
    "pinwheel": Pinwheel,
    "spirals": Spirals,
    "rings": Rings,
    "funnel": Funnel,
}
