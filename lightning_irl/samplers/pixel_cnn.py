"""A network that sees of an image only what comes before each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class GatedBlock(nn.Module):
    """A residual step of both stacks: along rows above, and along the pixel's own row.

    Args:
        features: channels of either stack.
        dropout: share of units dropped in training, behind the gates.
    """

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.down, self.down_out = nn.Conv2d(features, 2 * features, (2, 3)), nn.Conv2d(features, features, 1)
        self.right, self.right_out = nn.Conv2d(features, 2 * features, (1, 3)), nn.Conv2d(features, features, 1)
        self.link = nn.Conv2d(features, 2 * features, 1)

    def vertical(self, window: Tensor) -> Tensor:
        """Features (B, F, 1 + R, W), with a row before the first, to those of the next block (B, F, R, W)."""
        out: Tensor = self.down_out(self._gate(self.down(pad(window, (1, 1, 0, 0)))))
        return window[:, :, 1:] + out

    def horizontal(self, window: Tensor, link: Tensor) -> Tensor:
        """Features (B, F, R, 2 + W), with two columns before the first, and what :attr:`link` says of the rows above
        (B, 2F, R, W), to those of the next block (B, F, R, W)."""
        out: Tensor = self.right_out(self._gate(self.right(window) + link))
        return window[..., 2:] + out

    def _gate(self, values: Tensor) -> Tensor:
        signal, gate = values.chunk(2, 1)
        gated: Tensor = self.dropout(signal.tanh() * gate.sigmoid())
        return gated


class PixelCNN(nn.Module):
    r"""Features of each pixel's past, in raster order: all rows above, and what is left of it in its own row.

    Gated PixelCNN (van den Oord et al. 2016, arXiv 1606.05328): a stack of convolutions over the rows above feeds one
    along the row, so that nothing within reach stays out of sight, as it does behind one masked convolution (arXiv
    1601.06759). A learned map of ``place`` tells pixels apart.

    :meth:`forward` looks at whole images; :meth:`next_row` and :meth:`next_pixel` compute the same one pixel at a time,
    each layer once a pixel.

    Args:
        shape: [C, H, W] of an image.
        features: channels of either stack.
        blocks: gated blocks; each lets features see one row and two columns farther.
        kernel: side of the first convolutions, odd.
        dropout: share of units dropped in training.

    Attributes:
        reach: rows above and columns to the left that the first convolutions see.
    """

    def __init__(self, shape: tuple[int, ...], features: int, blocks: int, kernel: int, dropout: float) -> None:
        super().__init__()
        channels, height, width = shape
        self.reach = kernel // 2
        self.place = nn.Parameter(torch.zeros(features, height, width))
        self.above = nn.Conv2d(channels, features, (self.reach, kernel))
        self.left = nn.Conv2d(channels, features, (1, self.reach))
        self.blocks = nn.ModuleList(GatedBlock(features, dropout) for _ in range(blocks))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to features of each pixel's past (B, F, H, W)."""
        above = self.above(pad(images, (self.reach, self.reach, self.reach, -1))) + self.place
        features: Tensor = self.left(pad(images, (self.reach, -1, 0, 0)))
        for block in self.blocks:
            above = block.vertical(pad(above, (0, 0, 1, 0)))  # type: ignore[operator]
            features = block.horizontal(pad(features, (2, 0, 0, 0)), block.link(above))  # type: ignore[operator]
        return features

    def before_rows(self, num_images: int) -> list[Tensor]:
        """What each block knows before the first row: zeros (B, F, 1, W)."""
        features, _, width = self.place.shape
        return [self.place.new_zeros(num_images, features, 1, width) for _ in self.blocks]

    def before_pixels(self, num_images: int) -> list[Tensor]:
        """What each block knows before the first pixel of a row: zeros (B, F, 1, 2)."""
        return [self.place.new_zeros(num_images, len(self.place), 1, 2) for _ in self.blocks]

    def next_row(self, images: Tensor, row: int, past: list[Tensor]) -> list[Tensor]:
        """What the blocks' next row is told of the rows above.

        Args:
            images: the ``kernel // 2`` rows above, zero beyond the edges, (B, C, kernel // 2, W).
            row: its index.
            past: of the row before, replaced by that of this one.

        Returns:
            A link (B, 2F, 1, W) for each block.
        """
        above = self.above(pad(images, (self.reach, self.reach, 0, 0))) + self.place[:, row : row + 1]
        links = []
        for index, block in enumerate(self.blocks):
            window, past[index] = torch.cat([past[index], above], 2), above
            above = block.vertical(window)  # type: ignore[operator]
            links.append(block.link(above))  # type: ignore[operator]
        return links

    def next_pixel(self, images: Tensor, links: list[Tensor], past: list[Tensor]) -> Tensor:
        """Features (B, F, 1, 1) of the next pixel's past.

        Args:
            images: the ``kernel // 2`` pixels left of it, zero beyond the edge, (B, C, 1, kernel // 2).
            links: of this pixel, (B, 2F, 1, 1) each.
            past: of the two pixels before, replaced by that of this one and the one before.
        """
        features: Tensor = self.left(images)
        for index, (block, link) in enumerate(zip(self.blocks, links, strict=True)):
            window = torch.cat([past[index], features], -1)
            past[index] = window[..., 1:]
            features = block.horizontal(window, link)  # type: ignore[operator]
        return features
