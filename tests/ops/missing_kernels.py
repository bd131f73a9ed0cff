"""What ONNX Runtime's CPU provider, or ONNX, does not have, by dtype: found by test_dtypes.py, which checks it."""

MISSING: dict[str, frozenset[str]] = {
    "f64": frozenset(
        """
        acos acosh asin asinh atan atanh avg_pool avg_pool_transpose conv conv_transpose
        conv_weight_gradient cosh dequantize_linear det erf fake_quantize fold foreign gelu
        global_average_pool global_max_pool gru hardmax instance_norm local_response_norm lp_pool lstm
        quantize_linear rnn rotary_embedding sinh stft upsample_nearest
        """.split()
    ),
    "f16": frozenset(
        """
        foreign scatter_elements scatter_nd scatter_rows
        """.split()
    ),
    "i32": frozenset(
        """
        """.split()
    ),
}
