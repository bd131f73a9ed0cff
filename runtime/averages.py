"""The variables that inference computes with, where training keeps a mean of the parameters over its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ..compiler import Network

T = TypeVar("T")


def for_inference(network: Network, variables: Mapping[str, T], step: int) -> dict[str, T]:
    """The variables of a training after so many steps, with the means of parameters in place of those themselves.

    Before the first step there are no means yet. States, such as those of a batch norm, are what they are.
    """
    means = network.averages if step > 0 else {}
    return {**variables, **{name: variables[average] for name, average in means.items()}}
