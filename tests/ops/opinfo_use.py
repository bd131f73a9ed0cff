"""What a sample of PyTorch's own tests becomes: tensors, and what our builder makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from netlang.compiler.ir import Value


class NotExpressible(Exception):
    """A sample that uses what our operator does not have; the message says what."""


@dataclass(frozen=True)
class Use:
    """The tensors of a sample, and what to build of them."""

    tensors: tuple[torch.Tensor, ...]
    build: Callable[..., Value | Sequence[Value]]


Adapter = Callable[..., Use]


def refuse_if(condition: Any, why: str) -> None:
    if condition:
        raise NotExpressible(why)
