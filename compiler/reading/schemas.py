"""What the ONNX package says about its operators."""

from __future__ import annotations

from functools import cache
from typing import Any

import onnx

from netlang.diagnostics import did_you_mean

Schema = Any
"""An `onnx.defs.OpSchema`, of whose attributes the package's stubs know few."""


@cache
def find_schema(op_type: str, version: int, domain: str) -> Schema | None:
    """The definition of an operator in a version of its domain, or None where it has none."""
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


def similar_name(op_type: str, domain: str) -> str | None:
    """A help text that offers an operator with a similar name."""
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == domain}
    return did_you_mean(op_type, known - {op_type})


@cache
def last_version(op_type: str, version: int, domain: str) -> int:
    """The last version of its domain, from `version` on, in which an operator means the same."""
    schema = find_schema(op_type, version, domain)
    assert schema is not None
    latest = onnx.defs.onnx_opset_version()
    for later in range(version + 1, latest + 1):
        found = find_schema(op_type, later, domain)
        if found is None or found.since_version != schema.since_version:
            return later - 1
    return latest


def as_before(schema: Schema, latest: int) -> Schema | None:
    """The definition of an operator in version `latest` of its domain, if it differs from `schema` in types alone."""
    older = find_schema(schema.name, latest, schema.domain)
    return older if older is not None and _form(older) == _form(schema) else None


def _form(schema: Schema) -> tuple[Any, ...]:
    """How an operator is called, but for the types."""
    attributes = sorted(
        (name, attribute.type.value, attribute.required, attribute.default_value.SerializeToString())
        for name, attribute in schema.attributes.items()
    )
    ends = (schema.inputs, schema.outputs)
    return (attributes, *([(end.name, end.option.value) for end in one] for one in ends))


def is_random(schema: Schema) -> bool:
    """Whether an operator's results differ in spite of equal inputs."""
    return schema.node_determinism.name == "NonDeterministic"
