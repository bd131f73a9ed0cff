"""netlang without one of the runtime's means, as frameworks of their own: what each brings is the ratio to it.

The runtime has no switches. What a mean decides is one function or constant of one of its modules, which is replaced in
the process that measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cases import Case
from .frameworks import NETLANG, Framework, Side

if TYPE_CHECKING:
    import onnxruntime as ort


@dataclass(frozen=True, slots=True)
class Switch:
    """A mean: `place` is the path of what is replaced, from `netlang.runtime`; `off` gives what stands there without
    the mean, from what stands there with it."""

    name: str
    place: str
    off: Callable[[Any], Any]

    @property
    def framework(self) -> Framework:
        """netlang without it."""
        return Framework(f"netlang-without-{self.name}", f"without {self.name}", NETLANG.package, partial(_make, self))

    def find(self) -> tuple[Any, str]:
        """The module or class that has it, and its name there."""
        module, *path, name = self.place.split(".")
        return reduce(getattr, path, import_module(f"netlang.runtime.{module}")), name

    def turn_off(self) -> None:
        """Does without, until the process ends."""
        owner, name = self.find()
        setattr(owner, name, self.off(getattr(owner, name)))


def _never(value: object) -> Callable[..., Any]:
    return lambda *_: value


def _denormal_numbers(_: Callable[[], ort.SessionOptions]) -> Callable[[], ort.SessionOptions]:
    import onnxruntime as ort

    return ort.SessionOptions


def _sessions(**fixed: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes every session with these options of `Device.session`, whatever it is asked for."""
    return lambda session: lambda device, model, **options: session(device, model, **{**options, **fixed})


SWITCHES = (
    Switch("parts", "flat_engine.separate_parts", lambda _: _never([])),
    Switch("barriers", "flat_engine.bound_parts", lambda _: _never([])),
    Switch("inference-parts", "parts.PART_BYTES", lambda _: 1 << 62),
    Switch("flat-optimizer", "engines.FlatEngine.suits", lambda _: _never(False)),
    Switch("handing-over", "session.Device.session", _sessions(yields=False)),
    Switch("order", "session.Device.session", _sessions(in_order=False)),
    Switch("lean-memory", "training_session.PLANNED_BYTES", lambda _: 1 << 62),
    Switch("denormals", "session_options.session_options", _denormal_numbers),
    Switch("own-fusions", "session._SLOWER", lambda _: []),
    Switch("blocks", "session.blocked", lambda _: lambda model: model),
    Switch("one-thread-sums", "runner.alone", lambda _: _never(False)),
)
"""The means that are no passes of the compiler; `benchmarks.passes` has those."""


def _make(switch: Switch, case: Case, threads: int) -> Side:
    switch.turn_off()
    return NETLANG.make(case, threads)


WITHOUT: dict[str, Framework] = {switch.framework.name: switch.framework for switch in SWITCHES}
"""netlang without each of them, by name."""
