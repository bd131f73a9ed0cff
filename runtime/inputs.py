"""Arrays that meet a graph: names, dtypes and shapes against the types of its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netlang.diagnostics import Diagnostic, DiagnosticError, Label, did_you_mean, fail
from netlang.dims import Size, decide_less, substitute
from netlang.source import BUILTIN, Span
from netlang.types import INTEGERS, TensorType

from ..compiler.demands import Comparison, Demand
from ..compiler.dtypes import dtype_name, numpy_dtype
from ..compiler.ir import Graph, Input, Node, Value
from ..compiler.shapes import symbol_sources


@dataclass(frozen=True, slots=True)
class _Accepted:
    """Arrays that fit the inputs: name, dtype and shape of each, the sizes these settle, and what each one that holds
    indices may reach: name, limit, the user's line, whether the limit is a size of another input."""

    arrays: tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]
    sizes: dict[str, int]
    ranges: tuple[tuple[str, int, Span | None, bool], ...]

    def same(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """The arrays, in the order of the inputs, where nothing but their values is new."""
        if len(arrays) != len(self.arrays):
            return None
        batch: dict[str, np.ndarray] = {}
        for name, dtype, shape in self.arrays:
            array = arrays.get(name)
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return None
            if not array.flags.c_contiguous:
                return None
            batch[name] = array
        return batch


class InputCheck:
    """What a graph demands of the arrays it is fed. Arrays like those before are passed on after one look at each."""

    def __init__(self, graph: Graph) -> None:
        self.inputs = data_inputs(graph)
        self._counts = {item.name: item.size for item in self.inputs if item.size}
        self._limits = tuple(_limits(graph))
        self._accepted: _Accepted | None = None
        self._settled: dict[str, int] | None = None
        self._demands = (*graph.demands, *_sizes_above_zero(graph))

    def __call__(self, arrays: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """The arrays as the graph takes them, and the symbolic sizes they settle.

        Raises DiagnosticError (`missing-input`, `wrong-input`, `index-out-of-range`, and what the program demands).
        """
        accepted = self._accepted
        batch = None if accepted is None else accepted.same(arrays)
        if accepted is None or batch is None:
            batch = prepare(self.inputs, arrays)
            accepted = self._settle(batch)
        elif self._counts:
            self._check_sizes(accepted.sizes, batch)
        for name, limit, place, is_open in accepted.ranges:
            check_range(name, batch[name], limit, place, is_open)
        return batch, accepted.sizes

    def _settle(self, batch: Mapping[str, np.ndarray]) -> _Accepted:
        """Looks at everything but the values of a batch, and remembers what it accepted."""
        sizes = dimensions(self.inputs, batch)
        self._check_sizes(sizes, batch)
        limits = [(name, limit, substitute(limit, sizes), place) for name, limit, place in self._limits]
        ranges = tuple(
            (name, known, place, known is not limit) for name, limit, known, place in limits if isinstance(known, int)
        )
        arrays = tuple((name, array.dtype, array.shape) for name, array in batch.items())
        self._accepted = _Accepted(arrays, sizes, ranges)
        return self._accepted

    def _check_sizes(self, sizes: dict[str, int], batch: Mapping[str, np.ndarray]) -> None:
        """Checks what the program demands, unless the sizes are those of the batch before."""
        if self._counts:
            sizes = sizes | {size: int(batch[name]) for name, size in self._counts.items()}
        if sizes == self._settled:
            return
        for demand in self._demands:
            demand.check(sizes)
        self._settled = sizes


def _sizes_above_zero(graph: Graph) -> Iterator[Demand]:
    """What must hold of the open sizes of results, such as `h - 4` behind a convolution."""
    seen: set[Size] = set()
    for node in graph.nodes:
        for size in (size for value in node.outputs for size in value.type.shape):
            if isinstance(size, int) or size in seen:
                continue
            seen.add(size)
            if decide_less(size, 0) is False:
                continue
            label = None if node.loc is BUILTIN else Label(node.loc, f"in `{node.scope}`" if node.scope else "")
            fault = Diagnostic("shape-mismatch", "", label, help="the input is too small for this network")
            yield Demand(Comparison(size, ">=", 0), (f"the size {size} becomes ", size), (), fault)


def data_inputs(graph: Graph) -> tuple[Input, ...]:
    """The inputs that a caller feeds: everything but the step counter, the planned steps and the seed."""
    return tuple(item for item in graph.inputs if item.role == "data")


def scalar_inputs(graph: Graph) -> tuple[Input, ...]:
    """The inputs that the runtime feeds: step counter, planned steps, seed."""
    return tuple(item for item in graph.inputs if item.role != "data")


def prepare(inputs: Sequence[Input], arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays as the graph takes them: contiguous, of the dtype of their input, in the order of the inputs.

    Numbers keep their kind: any float becomes the float wanted and any integer the integer, where its values fit; an
    integer image is not silently taken for a float one. Raises DiagnosticError (`missing-input`, `wrong-input`).
    """
    names = [item.name for item in inputs]
    for name in arrays:
        if name not in names:
            raise _unknown_input(name, names)
    missing = [item for item in inputs if item.name not in arrays]
    if missing:
        expected = ", ".join(f"{item.name}: {item.value.type}" for item in missing)
        title = f"no value given for {'the input' if len(missing) == 1 else 'the inputs'} {quoted(missing)}"
        raise fail("missing-input", title, expected=expected, found=", ".join(arrays) or "nothing")
    return {item.name: _array(item, arrays[item.name]) for item in inputs}


def dimensions(inputs: Iterable[Input], arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The symbolic sizes of the inputs, by name, as the arrays have them. Raises DiagnosticError (`wrong-input`)."""
    items = {item.value: item for item in inputs}
    sizes: dict[str, int] = {}
    for value, item in items.items():
        if arrays[value.name].ndim != value.type.rank:
            raise wrong_input(item, arrays[value.name])
    for name, source in symbol_sources(items).items():
        solved = source.solve(arrays[source.value.name].shape[source.axis])
        if solved is None:
            raise wrong_input(items[source.value], arrays[source.value.name])
        sizes[name] = solved
    for value, item in items.items():
        if shape_of(value.type, sizes) != arrays[value.name].shape:
            raise wrong_input(item, arrays[value.name], sizes)
    return sizes


_KEEP_VALUES = {"cast", "concat", "expand", "reshape", "slice", "split", "stop_gradient", "transpose"}


def index_limits(graph: Graph) -> dict[str, int]:
    """For data inputs used as indices (labels, tokens): the number of classes or rows that they count, where known.

    A value outside `0 … limit - 1` would stop the runtime with an error of its own, or count for nothing.
    """
    limits: dict[str, int] = {}
    for name, limit, _ in _limits(graph):
        if isinstance(limit, int):
            limits[name] = min(limit, limits.get(name, limit))
    return limits


def _limits(graph: Graph) -> Iterator[tuple[str, Size, Span | None]]:
    """Each data input that is used as indices, the number of things that they choose from, and the user's line."""
    origins = {item.value: item.name for item in data_inputs(graph) if item.value.type.dtype in INTEGERS}
    found: dict[tuple[str, Size], Span | None] = {}
    for node in graph.nodes:
        if node.op in _KEEP_VALUES and node.inputs[0] in origins:
            origins |= dict.fromkeys(node.outputs, origins[node.inputs[0]])
        index, limit = _indexing(node)
        if index in origins and limit is not None:
            is_users = node.loc is not BUILTIN and not node.loc.source.library
            found.setdefault((origins[index], limit), node.loc if is_users else None)
    return ((name, limit, place) for (name, limit), place in found.items())


def _indexing(node: Node) -> tuple[Value | None, Size | None]:
    """The indices that a node takes and the number of things that they choose from."""
    match node.op:
        case "gather" | "gather_elements":
            return node.inputs[1], node.inputs[0].type.shape[node.attributes["axis"]]
        case "take_along":
            return node.inputs[1], node.inputs[0].type.shape[-1]
        case "one_hot":
            return node.inputs[0], node.attributes["classes"]
    return None, None


def check_range(name: str, array: np.ndarray, limit: int, place: Span | None = None, is_open: bool = False) -> None:
    """Refuses indices outside `0 … limit - 1`. Raises DiagnosticError (`index-out-of-range`), shown at `place`.

    `is_open`: whether the limit is a size of another input, rather than one of the network.
    """
    if array.size == 0:
        return
    unsigned = array.view(_UNSIGNED[array.itemsize])  # where numbers below 0 are greater than any index
    if unsigned.item(unsigned.argmax()) < limit:  # for few numbers, `max` takes four times as long
        return
    low, high = int(array.min()), int(array.max())
    has = f"there are {limit} of what it counts" if is_open else f"the network counts {limit}"
    help = "set the number of classes or of tokens with `--set` (classes = …), or count the labels from 0"
    raise fail(
        "index-out-of-range",
        f"`{name}` holds {low if low < 0 else high}",
        place,
        expected=f"0 to {limit - 1}, since {has}",
        help="count from 0" if is_open else help,
    )


_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def shape_of(type_: TensorType, sizes: Mapping[str, Size]) -> tuple[Size, ...]:
    """The shape of a type with the symbols that `sizes` names replaced."""
    return tuple(substitute(size, sizes) for size in type_.shape)


def array_type(array: np.ndarray) -> str:
    """A NumPy array's type in the language's words: `f64[3, 4]`."""
    try:
        name = dtype_name(array.dtype)
    except KeyError:
        name = str(array.dtype)
    if name == "string" and not all(isinstance(item, str) for item in array.flat):
        name = "object"
    return str(TensorType(name, array.shape))


def place_of(item: Input) -> Span | None:
    """Where an input is declared, if that is in a file of the user's."""
    return None if item.loc is BUILTIN or item.loc.source.library else item.loc


def wrong_input(item: Input, array: np.ndarray, sizes: Mapping[str, int] | None = None) -> DiagnosticError:
    """The error for an array that its input does not take; `sizes` are the symbols that other axes settled."""
    value, notes = item.value, []
    used = {
        name: size for name, size in (sizes or {}).items() if shape_of(value.type, {name: size}) != value.type.shape
    }
    if used:
        notes.append(f"the inputs together say {', '.join(f'{name} = {size}' for name, size in used.items())}")
    return fail(
        "wrong-input",
        f"the input `{value.name}` has the wrong {'shape' if _kinds_agree(value, array) else 'type'}",
        place_of(item),
        expected=value.type,
        found=array_type(array),
        notes=notes,
    )


def quoted(items: Iterable[Input]) -> str:
    """The names of inputs, for a message."""
    return ", ".join(f"`{item.name}`" for item in items)


def _unknown_input(name: str, names: list[str]) -> DiagnosticError:
    help = did_you_mean(name, names) or f"the inputs are {', '.join(f'`{n}`' for n in names)}"
    return fail("wrong-input", f"there is no input `{name}`", help=help)


def _array(item: Input, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
    except ValueError:
        title = f"the input `{item.name}` is no array"
        raise fail("wrong-input", title, place_of(item), expected=item.value.type) from None
    if np.ma.is_masked(given):  # NumPy would pass on what lies behind the mask
        help = f"fill them with a number: `{item.name}.filled(0)`"
        raise fail("wrong-input", f"values of the input `{item.name}` are masked", place_of(item), help=help)
    wanted = numpy_dtype(item.value.type.dtype)
    if array.dtype == wanted:
        return np.asarray(array, order="C")
    written_out = not isinstance(given, np.ndarray | np.generic)  # in `[1, 2.5]` and `3` an int is a number like any
    if not _kinds_agree(item.value, array) and not (written_out and array.dtype.kind in "iu"):
        raise _wrong_kind(item, array)
    return _converted(item, array, wanted)


def _converted(item: Input, array: np.ndarray, wanted: np.dtype[Any]) -> np.ndarray:
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            value = low if low < limits.min else high
            title = f"{value} in `{item.name}` does not fit its type"
            raise fail("wrong-input", title, place_of(item), expected=item.value.type)
    with np.errstate(over="ignore"):  # an infinity is what a float out of range becomes
        return np.asarray(array, wanted, order="C")


def _wrong_kind(item: Input, array: np.ndarray) -> DiagnosticError:
    help = None
    if array.dtype.kind == "O" and array.ndim:
        help = f"make numbers of its objects: `{item.name}.astype(np.{numpy_dtype(item.value.type.dtype)})`"
    elif item.value.type.dtype.startswith(("f", "bf")) and array.dtype.kind in "iu":
        help = f"convert it, and scale it if need be: `{item.name}.astype(np.float32) / 255` for 8-bit images"
    return fail(
        "wrong-input",
        f"the input `{item.name}` has the wrong type",
        place_of(item),
        expected=item.value.type,
        found=array_type(array),
        help=help,
    )


_KINDS = {"f": "float", "V": "float", "i": "integer", "u": "integer", "b": "bool"}


def _kinds_agree(value: Value, array: np.ndarray) -> bool:
    wanted = numpy_dtype(value.type.dtype)
    return wanted == array.dtype or _KINDS.get(wanted.kind) == _KINDS.get(array.dtype.kind, "other")
