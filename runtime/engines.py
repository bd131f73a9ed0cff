"""Chooses the training engine for a network."""

from __future__ import annotations

from ..compiler import Network
from .engine import Engine, require_training
from .flat_engine import FlatEngine
from .session import Device
from .whole_engine import WholeEngine


def make_engine(network: Network, device: Device | None = None, seed: int = 0, steps: int | None = None) -> Engine:
    """The fastest engine that can train the network on the device."""
    require_training(network)
    device = device or Device()
    return (FlatEngine if FlatEngine.suits(network, device) else WholeEngine)(network, device, seed, steps)
