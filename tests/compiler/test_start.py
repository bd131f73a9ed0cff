"""What keeps the start of the compiler short, and must not change what it does."""

from __future__ import annotations

import gc

import pytest
from netlang.compiler.elaborate.modules import builtin_names
from netlang.compiler.ops import OPS

from netlang.collection import without_collection


def test_operators_for_the_compiler_alone_are_seen_without_parsing_signatures() -> None:
    for name, op in OPS.items():
        of_compiler = any(attribute.type in ("graph", "constant") for attribute in op.signature.attributes)
        assert of_compiler != (name in builtin_names()), name


def test_garbage_is_collected_again_afterwards() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="stop"), without_collection():
        with without_collection():
            pass
        assert not gc.isenabled()
        raise ValueError("stop")
    assert gc.isenabled()


def test_a_pause_that_another_began_goes_on() -> None:
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
