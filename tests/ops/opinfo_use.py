"""What a sample of PyTorch's own tests becomes: tensors, and what our builder makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from netlang.compiler.builder import Builder
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


def composed(build: Callable[..., Value | Sequence[Value]]) -> Adapter:
    """Several operators of one or more tensors: `composed(lambda b, x: b.log(b.add(x, 1.0)))`."""
    return lambda *tensors: Use(tensors, build)


def given(*tensors: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """Those that are not None."""
    return tuple(tensor for tensor in tensors if tensor is not None)


def with_axis(adapter: Adapter, rank: int = 1, positions: Sequence[int] = (0, 1, 2, 3)) -> Adapter:
    """Where the first tensor has less than `rank` axes, puts one before it, and drops it from the results.

    Of the arguments at `positions` all tensors of less than `rank` axes get one: a batch of 1, or the axis of a scalar.
    """

    def adapted(*args: Any, **kwargs: Any) -> Use:
        if args[0].dim() >= rank:
            return adapter(*args, **kwargs)
        lifted = [
            arg[None] if i in positions and isinstance(arg, torch.Tensor) and arg.dim() < rank else arg
            for i, arg in enumerate(args)
        ]
        use = adapter(*lifted, **kwargs)
        originals = {id(new): old for new, old in zip(lifted, args, strict=True)}

        def build(b: Builder, *values: Value) -> list[Value]:
            shaped = (b.reshape(v, shape=tuple(t.shape)) for v, t in zip(values, use.tensors, strict=True))
            results = use.build(b, *shaped)
            listed = [results] if isinstance(results, Value) else results
            return [b.reshape(y, shape=y.type.shape[1:]) if y.type.rank else y for y in listed]

        return Use(tuple(originals.get(id(tensor), tensor) for tensor in use.tensors), build)

    return adapted
