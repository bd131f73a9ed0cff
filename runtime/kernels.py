"""What ONNX Runtime has no kernel for."""

from __future__ import annotations

MISSING: dict[str, frozenset[str]] = {
    "f64": frozenset(
        (
            *("acos", "acosh", "asin", "asinh", "atan", "atanh", "avg_pool", "avg_pool_transpose", "conv"),
            *("conv_transpose", "conv_weight_gradient", "cosh", "dequantize_linear", "det", "erf", "fake_quantize"),
            *("fold", "foreign", "gelu", "global_average_pool", "global_max_pool", "gru", "hardmax", "instance_norm"),
            *("local_response_norm", "lp_pool", "lstm", "quantize_linear", "rnn", "rotary_embedding", "sinh", "stft"),
            "upsample_nearest",
        )
    ),
    "f16": frozenset(("foreign", "scatter_elements", "scatter_nd", "scatter_rows")),
}
"""Operators that its CPU provider, or ONNX itself, does not have in a dtype, at least for some uses. Version 1.31.

bf16 is not listed: the CPU provider has hardly any kernel for it. tests/ops/test_dtypes.py finds and checks all this.
"""
