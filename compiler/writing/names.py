"""Names in one body, each used for one thing; layers are counted as elaboration counts them."""

from __future__ import annotations

from collections.abc import Iterable

from ..elaborate.naming import Counter, Namer, Repeated
from ..numbered_names import numbered_name

_LETTERS = ("x", "h", "y", "z", "u", "v", "w", "a", "b", "c")


class Names:
    """The names of one body.

    `reserved` cannot be used. A weight or layer is named twice: as a name of the text, and in the tree of parameters.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self._taken = set(reserved)
        self._counter = Counter()
        self._namer: Namer = self._counter

    def fresh(self, *stems: str) -> str:
        """A name not used before: one of `stems`, a letter, or a letter with a number."""
        candidates = [stem for stem in stems if stem] + list(_LETTERS)
        for name in candidates:
            if name not in self._taken:
                return self._take(name)
        return self.numbered(candidates[0])

    def numbered(self, stem: str) -> str:
        """`stem`, or `stem_2`, `stem_3` … where that is taken."""
        return self._take(numbered_name(stem, lambda name: name not in self._taken))

    def is_free(self, name: str) -> bool:
        """Whether nothing has this name."""
        return bool(name) and name not in self._taken

    def member(self, stem: str) -> str:
        """A new name for a weight or layer of this body, the same in the text and in the tree of parameters."""
        return self._take(numbered_name(stem, lambda name: name not in self._taken and self._fits(name)))

    def _fits(self, name: str) -> bool:
        """Whether elaboration would leave this name as it is."""
        return self._counter.copy().allocate(name) == name

    def layer(self, stem: str) -> str:
        """The name in the tree of parameters of a layer created where it is applied, or of a `let` or `param`."""
        return self._namer.allocate(stem)

    def begin_repeat(self) -> None:
        """From here on names are those of the first round of a repeat: they end in `.0`."""
        repeated = Repeated(self._counter)
        repeated.start(0)
        self._namer = repeated

    def end_repeat(self) -> None:
        self._namer = self._counter

    def _take(self, name: str) -> str:
        self._taken.add(name)
        return name
