"""The suite's models that draw images, in PyTorch; modules carry the names that netlang gives the same layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _chain(*layers: nn.Linear) -> nn.Sequential:
    """Linear layers with ReLU between them, by netlang's names."""
    chain = nn.Sequential()
    for i, layer in enumerate(layers):
        if i:
            chain.append(nn.ReLU())
        chain.add_module(f"linear_{i + 1}" if i else "linear", layer)
    return chain


class VAE(nn.Module):
    """Kingma & Welling 2014."""

    def __init__(self, latent: int = 20, hidden: int = 400, pixels: int = 784) -> None:
        super().__init__()
        self.encoder = _chain(nn.Linear(pixels, hidden))
        self.center = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.decoder = _chain(nn.Linear(latent, hidden), nn.Linear(hidden, pixels))

    def forward(self, z: Tensor) -> Tensor:
        """f32[batch, latent] -> f32[batch, pixels]."""
        return self.decoder(z).sigmoid()

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """The bound on -log p(x)."""
        h = F.relu(self.encoder(x))
        mu, log_var = self.center(h), self.log_variance(h)
        z = mu + (log_var / 2).exp() * noise
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + 0.5 * (mu * mu + log_var.exp() - log_var - 1).sum()) / len(x)


def _normalized(c: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, c, eps=1e-6)


class TimeBlock(nn.Module):
    """Two convolutions beside a skip connection, with the time added between them."""

    def __init__(self, i: int, c: int, e: int) -> None:
        super().__init__()
        self.normalized = _normalized(i)
        self.convolution = nn.Conv2d(i, c, 3, padding=1)
        self.dense = nn.Linear(e, c)
        self.normalized_2 = _normalized(c)
        self.convolution_2 = nn.Conv2d(c, c, 3, padding=1)
        if i != c:
            self.convolution_3 = nn.Conv2d(i, c, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """f32[b, i, h, w], f32[b, e] -> f32[b, c, h, w]."""
        y = self.convolution(F.silu(self.normalized(x))) + self.dense(F.silu(time))[:, :, None, None]
        y = self.convolution_2(F.silu(self.normalized_2(y)))
        return y + (self.convolution_3(x) if hasattr(self, "convolution_3") else x)


class PixelAttention(nn.Module):
    """Attention of each pixel to all others, by one head."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.normalized = _normalized(c)
        self.dense = nn.Linear(c, 3 * c)
        self.dense_2 = nn.Linear(c, c)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, c, h, w] -> f32[b, c, h, w]."""
        q, k, v = (y[:, None] for y in self.dense(self.normalized(x).flatten(2).transpose(1, 2)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v)[:, 0]  # fused where there is an axis of heads
        return x + self.dense_2(y).transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """For 28×28 pixels: three resolutions with a block each, attention at 14×14. Ho et al. 2020."""

    WIDTHS = (32, 64, 64)

    def __init__(self, c: int = 32) -> None:
        super().__init__()
        self.c = c
        self.dense, self.dense_2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, 4 * c)
        self.convolution = nn.Conv2d(1, c, 3, padding=1)
        self._down(c)
        self.middle = TimeBlock(64, 64, 4 * c)
        self.middle_attention = PixelAttention(64)
        self.middle_2 = TimeBlock(64, 64, 4 * c)
        self._up(c)
        self.normalized = _normalized(c)
        self.convolution_2 = nn.Conv2d(c, 1, 3, padding=1)

    def _down(self, c: int) -> None:
        inputs = (c, *self.WIDTHS[:-1])
        blocks = [TimeBlock(i, width, 4 * c) for i, width in zip(inputs, self.WIDTHS, strict=True)]
        self.time_block = nn.ModuleList(nn.ModuleList([block]) for block in blocks)
        self.pixel_attention = nn.ModuleDict({"1": nn.ModuleList([PixelAttention(64)])})
        self.halved = nn.ModuleList(nn.Conv2d(width, width, 3, 2) for width in self.WIDTHS[:-1])

    def _up(self, c: int) -> None:
        sizes = [[(128, 64), (128, 64)], [(128, 64), (96, 64)], [(96, 32), (64, 32)]]
        self.time_block_2 = nn.ModuleList(nn.ModuleList(TimeBlock(*size, 4 * c) for size in level) for level in sizes)
        self.pixel_attention_2 = nn.ModuleDict({"1": nn.ModuleList(PixelAttention(64) for _ in range(2))})
        self.doubled = nn.ModuleList(
            nn.ModuleDict({"convolution": nn.Conv2d(width, width, 3, padding=1)}) for width in (64, 64)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """f32[b, 1, 28, 28], i64[b] -> f32[b, 1, 28, 28]."""
        time = self.dense_2(F.silu(self.dense(self._waves(t))))
        y = self.convolution(x)
        seen = [y]
        for level, (block,) in enumerate(self.time_block):
            y = block(y, time)
            if level == 1:
                y = self.pixel_attention["1"][0](y)
            seen.append(y)
            if level < 2:
                y = self.halved[level](F.pad(y, (0, 1, 0, 1)))
                seen.append(y)
        y = self.middle_2(self.middle_attention(self.middle(y, time)), time)
        for risen, blocks in enumerate(self.time_block_2):
            for n, block in enumerate(blocks):
                y = block(torch.cat((y, seen.pop()), 1), time)
                if risen == 1:
                    y = self.pixel_attention_2["1"][n](y)
            if risen < 2:
                y = self.doubled[risen]["convolution"](F.interpolate(y, scale_factor=2, mode="nearest"))
        return self.convolution_2(F.silu(self.normalized(y)))

    def _waves(self, t: Tensor) -> Tensor:
        half = self.c // 2
        angle = t[:, None] * 10_000.0 ** (-torch.arange(half) / (half - 1))
        return torch.cat((angle.sin(), angle.cos()), 1)


class DDPM(nn.Module):
    """The noise in an image. Ho et al. 2020."""

    def __init__(self) -> None:
        super().__init__()
        self.ddpm = nn.ModuleDict({"network": UNet()})

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """f32[b, 1, 28, 28], i64[b] -> f32[b, 1, 28, 28]."""
        return self.ddpm["network"](x, t)

    def loss(self, noisy: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """The mean square of what it does not see."""
        return F.mse_loss(self(noisy, time), noise)
