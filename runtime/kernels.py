"""What ONNX Runtime has no kernel for."""

from __future__ import annotations

MISSING: dict[str, frozenset[str]] = {
    "f64": frozenset(
        (
            *("acos", "acosh", "asin", "asinh", "atan", "atanh", "avg_pool", "avg_pool_transpose", "conv"),
            *("conv_transpose", "conv_weight_gradient", "det", "erf", "fold", "gelu", "hardmax", "local_response_norm"),
            *("lp_pool", "quantize_linear", "upsample_nearest"),
        )
    ),
    "f16": frozenset(("scatter_elements", "scatter_nd", "scatter_rows")),
}
"""Operators that its CPU provider, or ONNX itself, does not have in a dtype, at least for some uses. Version 1.31.

bf16 is not listed: the CPU provider has hardly any kernel for it. tests/ops/test_dtypes.py finds and checks all this.
"""
