"""The quality of sets of images, measured against training images and compared with held-out ones."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.metrics.distances import (
    discrepancy,
    frechet_distance,
    gaussian_kernel,
    median_distance,
    nearest,
    polynomial_kernel,
)
from lightning_irl.metrics.features import FeatureNetwork, InceptionFeatures

WIDTHS = (0.5, 1.0, 2.0)  # of the Gaussian kernels, over the median distance
LARGEST_KERNEL = 4096  # samples on either side of a kernel's matrix
PIECE = 1024  # images seen by the network at once
HELD_OUT = "held_out"  # what the demonstrations that nothing was trained on are called


class ImageJudge:
    """Compares sets of images with training images; what held-out images score is the best that draws can do.

    A Frechet distance is biased by the number of samples. Here every set is cut into groups of one size, so that its
    mean over groups compares with that of held-out images. The other distances are without bias. Errors are those of
    independent images: among draws that were resampled, or that are neighbours in a chain, they are too small.

    Args:
        network: whose features are compared; its name is part of the keys.
        training: images (N, C, H, W) in [0, 1].
        held_out: images (M, C, H, W) in [0, 1].
        labels: classes of the held-out images (M,), where there are some; then class shares and confidence are judged
            too, if the network tells these classes apart.
        group: images in a group for the Frechet distance; at most M.

    Attributes:
        usual_distance: median distance of a training image to the nearest other, Euclidean in grey levels.

    Raises:
        ValueError: if the network is for images of another shape.
    """

    def __init__(
        self,
        network: FeatureNetwork | InceptionFeatures,
        training: Tensor,
        held_out: Tensor,
        labels: Tensor | None = None,
        group: int = 1000,
    ) -> None:
        if isinstance(network, FeatureNetwork) and network.shape != training.shape[1:]:
            raise ValueError(
                f"feature network {network.name} takes images of shape {list(network.shape)}, the data has "
                f"{list(training.shape[1:])}; train one on this data (features: train)"
            )
        self.network = network.to(training.device)
        self.training, self.held_out, self.labels = training, held_out, labels
        self.group = min(group, len(held_out))
        self.features = self._features(training)
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))
        self._some = order[:LARGEST_KERNEL].to(training.device)
        flat = training.flatten(1)[self._some]
        self._kernel = gaussian_kernel([width * median_distance(flat) for width in WIDTHS])
        self.usual_distance = float(nearest(flat, training.flatten(1), skip=self._some).distances.median())

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(part) for part in images.split(PIECE)])

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor | None:
        """The network's probability of each class (B, K) for images (B, C, H, W); None without classes of
        the data.
        """
        if self.labels is None or not isinstance(self.network, FeatureNetwork):
            return None
        return torch.cat([self.network.logits(part).softmax(1) for part in images.split(PIECE)])

    def judge(self, samples: dict[str, Tensor]) -> dict[str, float]:
        """Measure named sets of images (B, C, H, W) in [0, 1], and the held-out ones under the name ``held_out``.

        Returns:
            Numbers by key, as in docs/keys.md without ``quality/``: ``frechet_NETWORK/SOURCE`` and so on,
            ``nearest_of_training``, and where there are classes ``accuracy`` of the network on held-out images.
        """
        found: dict[str, Tensor | float] = {}
        for source, images in {HELD_OUT: self.held_out, **samples}.items():
            found |= {f"{key}/{source}": value for key, value in self.measure(images).items()}
        found["nearest_of_training"] = self.usual_distance
        probabilities = self.probabilities(self.held_out)
        if probabilities is not None and self.labels is not None:
            found["accuracy"] = (probabilities.argmax(1) == self.labels).double().mean()
        return {key: float(value) for key, value in found.items()}

    def measure(self, images: Tensor) -> dict[str, Tensor | float]:
        """Every number about one set of images (B, C, H, W) in [0, 1]."""
        name, features = self.network.name, self._features(images)
        frechet = torch.stack(
            [frechet_distance(self.features, part) for part in features.split(self.group) if len(part) == self.group]
            or [frechet_distance(self.features, features)]
        )
        some = images.flatten(1)[:LARGEST_KERNEL]
        kernel = discrepancy(self.features[self._some], features[:LARGEST_KERNEL], polynomial_kernel)
        pixels = discrepancy(self.training.flatten(1)[self._some], some, self._kernel)
        found: dict[str, Tensor | float] = {f"frechet_{name}": frechet.mean()}
        if len(frechet) > 1:
            found[f"frechet_{name}_stderr"] = frechet.std() / len(frechet) ** 0.5
        found |= {f"kernel_{name}": kernel.value, f"kernel_{name}_stderr": kernel.stderr}
        found |= {"mmd": pixels.value, "mmd_stderr": pixels.stderr}
        found["nearest_median"] = nearest(images.flatten(1), self.training.flatten(1)).distances.median()
        probabilities, usual = self.probabilities(images), self.probabilities(self.held_out)
        if probabilities is not None and usual is not None:
            classes = probabilities.argmax(1)
            found["least_class_share"] = classes.bincount(minlength=probabilities.shape[1]).min() / len(classes)
            found["confidence_ratio"] = probabilities.amax(1).mean() / usual.amax(1).mean()
        return found
