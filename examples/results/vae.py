"""Trains `std:VAE` on MNIST, and the same model in PyTorch as often, and draws what lies between four digits.

python examples/results/vae.py mnist --epochs 15 --picture docs/pictures/vae.png

Both begin with the same weights and get the same images in the same order; only the noise is of each one's own. The
bounds on -log p(x), of the 10,000 test images, are in nats.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from netlang.runtime.data import TrainingFeed, match
from pictures import save_sheet
from torch import nn
from torch.nn import functional

import netlang as nl

BATCH = 128
SIDE = 10


class TorchVAE(nn.Module):
    """`std:VAE` in PyTorch."""

    def __init__(self, latent: int = 20, hidden: int = 400, pixels: int = 784) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU())
        self.center, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    def begin_with(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copies the weights of a `std:VAE`."""
        names = {"encoder.0": "encoder.linear", "decoder.0": "decoder.linear", "decoder.2": "decoder.linear_2"}
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                layer, kind = name.rsplit(".", 1)
                parameter.copy_(torch.from_numpy(weights[f"{names.get(layer, layer)}.{kind}"].copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The bound, as a mean over the images."""
        hidden = self.encoder(x)
        mu, log_variance = self.center(hidden), self.log_variance(hidden)
        z = mu + torch.exp(log_variance / 2) * torch.randn_like(mu)
        reconstruction = functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        divergence = 0.5 * torch.sum(mu * mu + log_variance.exp() - log_variance - 1)
        return (reconstruction + divergence) / len(x)


def torch_bound(model: TorchVAE, feed: TrainingFeed, steps: int, test: np.ndarray) -> float:
    """The bound on the test images after training."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.from_numpy(feed.batch(step)["x"])).backward()
        optimizer.step()
    with torch.no_grad():
        return float(model(torch.from_numpy(test)))


def grid(network: nl.BoundNetwork, corners: np.ndarray) -> np.ndarray:
    """From four images f32[4, 784] to all that lies between them: 10 × 10 points of the plane between their means."""
    means = np.asarray(network.encode(corners)[0])
    share = np.linspace(0, 1, SIDE, dtype=np.float32)
    down, right = (each.reshape(-1, 1) for each in np.meshgrid(share, share, indexing="ij"))
    upper = (1 - right) * means[0] + right * means[1]
    lower = (1 - right) * means[2] + right * means[3]
    return np.asarray(network.decode((1 - down) * upper + down * lower)).reshape(-1, 28, 28)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder with the four idx files")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--picture", type=Path, default=Path("vae.png"))
    options = parser.parse_args()

    network = nl.load("std:VAE")["VAE"]()
    peer = TorchVAE()
    peer.begin_with(network.weights)
    data = match(nl.open_data(f"mnist:{options.data}"), network.network)
    test = data.splits["test"].take(data.splits["test"].sequence())["x"]
    trainer = nl.Trainer(network, seed=0, threads=1)
    trainer.fit(data, epochs=options.epochs, batch=BATCH, evaluate_every=10**9)
    metrics = trainer.evaluate(data, "test", batch=len(test))
    print("netlang:", {name: round(value, 2) for name, value in metrics.items()}, flush=True)
    save_sheet(grid(network, test[:4]), options.picture, SIDE)

    feed = TrainingFeed(data.splits["train"], BATCH, 0)
    bound = torch_bound(peer, feed, trainer.step_count, test)
    print(f"PyTorch: {bound:.2f}; netlang / PyTorch = {metrics['loss'] / bound:.4f}")


if __name__ == "__main__":
    main()
