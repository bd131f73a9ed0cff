"""Data meets network: which column feeds which input, and what is done to it on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from netlang.diagnostics import DiagnosticError, counted, fail
from netlang.types import FLOATS, INTEGERS, TensorType

from ...compiler import Network
from ...compiler.ir import Graph, Input
from ..inputs import data_inputs, index_limits
from .fitting import METHODS, Fit
from .images import ImageTable
from .table import Dataset, Field, Rows, Table
from .vocabulary import CHARACTERS, NAMES

Transform = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Feed:
    """How one input is fed: the column, and what is done to its rows.

    `fit` is for pictures of different sizes, which are brought to one before they can be rows of one array.
    """

    column: str
    transforms: tuple[Transform, ...] = ()
    fit: Fit | None = None


class MatchedTable:
    """A table whose columns are the inputs of a network."""

    def __init__(self, table: Table, feeds: Mapping[str, Feed]) -> None:
        self._table = table
        self._feeds = dict(feeds)
        for feed in self._feeds.values():
            if feed.fit is not None and isinstance(table, ImageTable):
                self._table = table.fitted(feed.fit)

    @property
    def fields(self) -> Mapping[str, Field]:
        fields = self._table.fields
        return {name: fields[feed.column] for name, feed in self._feeds.items()}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        taken = self._table.take(rows)
        arrays: dict[str, np.ndarray] = {}
        for name, feed in self._feeds.items():
            array = taken[feed.column]
            for transform in feed.transforms:
                array = transform(array)
            arrays[name] = array
        return arrays

    def sequence(self) -> Rows:
        return self._table.sequence()

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        return self._table.shuffled(seed, epoch, batch)


def match(dataset: Dataset, network: Network) -> Dataset:
    """The data set with the network's inputs as columns, and a note of everything that is not plain.

    A column feeds the input of its name. Inputs without one take, in order, the columns left over whose dtype and
    shape suit them. A row is flattened, or gains or loses axes of size 1, where the input is so. Whole numbers are real
    ones where the input wants those, unless they stand for words. Images of another size are fitted as the network's
    file says. Names of classes are left out where the network is not told classes.

    Raises DiagnosticError: `missing-input`, `wrong-input` (with the `fit` line that would help), `index-out-of-range`,
    `vocabulary-mismatch`.
    """
    graph = network.train_graph()
    inputs = data_inputs(graph)
    notes = list(dataset.notes)
    feeds: dict[str, Feed] = {}
    for item, column in _assign(dataset, inputs).items():
        found, field = dataset.fields[column], _as_wanted(dataset, item, column)
        if item.name != column:
            notes.append(f"`{item.name}` is fed with the column `{column}`")
        feed, changed = _feed(item, column, field, network.fits.get(item.name))
        if field.dtype != found.dtype:
            feed = replace(feed, transforms=(partial(np.asarray, dtype=np.float32), *feed.transforms))
            notes.append(f"`{item.name}`: whole numbers, taken for real ones")
        feeds[item.name] = feed
        if changed:
            notes.append(f"`{item.name}`: {changed}")
    _check_classes(dataset, graph, feeds)
    splits = {name: MatchedTable(table, feeds) for name, table in dataset.splits.items()}
    used = {feed.column for feed in feeds.values()}
    known = {name: each for name, each in dataset.vocabularies.items() if each.kind != NAMES or name in used}
    return replace(dataset, splits=splits, vocabularies=known, notes=tuple(notes))


def _assign(dataset: Dataset, inputs: tuple[Input, ...]) -> dict[Input, str]:
    """The column of each input."""
    fields = dataset.fields
    chosen = {item: item.name for item in inputs if item.name in fields}
    free = [name for name in fields if name not in chosen.values()]
    for item in inputs:
        if item in chosen:
            continue
        suitable = [name for name in free if _suits(item.value.type, fields[name])]
        suitable = suitable or [name for name in free if _suits(item.value.type, _as_wanted(dataset, item, name))]
        if not suitable:
            raise _no_column(dataset, item)
        chosen[item] = suitable[0]
        free.remove(suitable[0])
    return {item: chosen[item] for item in inputs}


def _as_wanted(dataset: Dataset, item: Input, column: str) -> Field:
    """The field of a column as the input takes it: floats where it wants those, and the column has whole numbers that
    stand for no words."""
    field = dataset.fields[column]
    is_plain = field.dtype in INTEGERS and column not in dataset.vocabularies
    return replace(field, dtype="f32") if is_plain and item.value.type.dtype in FLOATS else field


def _suits(type_: TensorType, field: Field) -> bool:
    """Whether a column can feed an input of this type, as it is or after a change of shape."""
    return _same_kind(type_.dtype, field.dtype) and (_accepts(type_, field) or _reshaped(type_, field) is not None)


def _same_kind(wanted: str, found: str) -> bool:
    return any(wanted in kind and found in kind for kind in (FLOATS, INTEGERS, ("bool",)))


def _accepts(type_: TensorType, field: Field) -> bool:
    """Whether rows of the field are rows of the type; symbols take any size, also one that differs between batches."""
    return len(field.shape) == type_.rank - 1 and all(
        not (size is None and field.image) and (size == wanted or not isinstance(wanted, int))
        for size, wanted in zip(field.shape, type_.shape[1:], strict=True)
    )


def _reshaped(type_: TensorType, field: Field) -> tuple[int, ...] | None:
    """The shape of a row that has the field's elements and suits the type, where there is one that loses no meaning.

    That is: all axes in one, or other axes of size 1.
    """
    wanted = [size for size in type_.shape[1:] if isinstance(size, int)]
    found = [size for size in field.shape if size is not None]
    if type_.rank == 0 or len(wanted) != type_.rank - 1 or len(found) != len(field.shape):
        return None
    flattened = len(wanted) == 1 and wanted[0] == int(np.prod(found))
    squeezed = [size for size in wanted if size != 1] == [size for size in found if size != 1]
    return tuple(wanted) if flattened or squeezed else None


def _feed(item: Input, column: str, field: Field, method: str | None) -> tuple[Feed, str | None]:
    """How the column feeds the input, and what to tell the user about it."""
    type_ = item.value.type
    if not _same_kind(type_.dtype, field.dtype):
        raise _misfit(item, column, field)
    if _accepts(type_, field):
        return Feed(column), None
    shape = _reshaped(type_, field)
    if shape is not None:
        return Feed(column, (partial(_reshape, shape=shape),)), f"rows {list(field.shape)} reshaped to {list(shape)}"
    size = _image_size(type_, field)
    if size is None:
        raise _misfit(item, column, field, _way_out(item, field))
    if method not in METHODS:
        help = f"say in the `train` block how images are to fit: `fit {item.name}: pad` or `fit {item.name}: resize`"
        raise _misfit(item, column, field, help)
    found = " × ".join("any" if side is None else str(side) for side in field.shape[1:])
    done = {"pad": "padded", "resize": "resized"}[method]
    fit = Fit(method, size)
    feed = Feed(column, fit=fit) if None in field.shape else Feed(column, (fit,))
    return feed, f"images {found} {done} to {size[0]} × {size[1]}"


def _way_out(item: Input, field: Field) -> str | None:
    """What helps where rows of this kind never fit the input, if that is known."""
    name, type_, several = item.value.name, item.value.type, None in field.shape
    if not field.image:
        return f"its rows differ in length: let the size of `{name}` be a name" if several else None
    if type_.rank == 4 and isinstance(type_.shape[1], int) and type_.shape[1] != field.shape[0]:
        return f"the pictures have {counted(field.shape[0] or 0, 'channel')}, `{name}` has {type_.shape[1]}: change one"
    if type_.rank != 4 or not several:
        return None
    example = f"`{name}: {type_.dtype}[{type_.shape[0]}, {field.shape[0]}, 64, 64]`"
    return f"the pictures differ in size: in a program of your own, {example} and `fit {name}: resize`"


def _image_size(type_: TensorType, field: Field) -> tuple[int, int] | None:
    """The height and width that the input takes, where both are images with as many channels."""
    if not field.image or type_.rank != 4 or type_.shape[1] != field.shape[0]:
        return None
    height, width = type_.shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _reshape(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return array.reshape(len(array), *shape)


def _no_column(dataset: Dataset, item: Input) -> DiagnosticError:
    return fail(
        "missing-input",
        f"`{dataset.name}` has nothing for the input `{item.name}`",
        expected=f"{item.name}: {item.value.type}",
        found=", ".join(f"{name}: {field}" for name, field in dataset.fields.items()),
    )


def _misfit(item: Input, column: str, field: Field, help: str | None = None) -> DiagnosticError:
    return fail(
        "wrong-input",
        f"the data's `{column}` does not fit the input `{item.name}`",
        expected=item.value.type,
        found=field,
        help=help,
    )


def _check_classes(dataset: Dataset, graph: Graph, feeds: Mapping[str, Feed]) -> None:
    limits = {name: limit for name, limit in index_limits(graph).items() if name in feeds}
    for name, limit in limits.items():
        column = feeds[name].column
        for split, table in dataset.splits.items():
            classes = table.fields[column].classes
            if classes is None or classes <= limit:
                continue
            if column in dataset.vocabularies and dataset.vocabularies[column].kind != NAMES:
                raise _too_many_tokens(dataset, column, limit)
            raise fail(
                "index-out-of-range",
                f"the {split} data has {classes - 1} as `{name}`",
                expected=f"0 to {limit - 1}, since the network counts {limit}",
                help=f"build the network for it with `--set classes={classes}`",
            )


def _too_many_tokens(dataset: Dataset, column: str, limit: int) -> DiagnosticError:
    vocabulary = dataset.vocabularies[column]
    setting = next((name for name, value in dataset.settings.items() if value == len(vocabulary)), "vocab")
    fewer = "" if vocabulary.kind == CHARACTERS else f", or keep fewer tokens: `--tokens {vocabulary.kind}:{limit}`"
    return fail(
        "vocabulary-mismatch",
        f"the data has more tokens as `{column}` than the network counts",
        expected=f"at most {limit:,}",
        found=f"{len(vocabulary):,}",
        help=f"build the network for them with `--set {setting}={len(vocabulary)}`{fewer}",
    )
