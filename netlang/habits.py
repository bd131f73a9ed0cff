"""How the names of Python, PyTorch, NumPy and Keras are said here: help for what a file means and does not define."""

from __future__ import annotations

from collections.abc import Collection

from netlang.diagnostics import did_you_mean

_LAYERS = {
    "linear": ("Linear", "Dense", "dense", "fc", "LazyLinear"),
    "conv1d": ("Conv1d", "Conv1D"),
    "conv2d": ("Conv2d", "Conv2D", "Conv"),
    "conv_transpose2d": ("ConvTranspose2d", "Conv2DTranspose"),
    "batch_norm": (
        "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "BatchNormalization", "batchnorm", "batchnorm2d", "batch_norm2d",
    ),
    "layer_norm": ("LayerNorm", "LayerNormalization", "layernorm"),
    "dropout": ("Dropout", "Dropout1d", "Dropout2d"),
    "embedding": ("Embedding", "embed"),
    "max_pool2d": ("MaxPool2d", "MaxPooling2D", "maxpool2d", "MaxPool", "maxpool"),
    "avg_pool2d": ("AvgPool2d", "AveragePooling2D", "avgpool2d", "AvgPool", "avgpool"),
    "global_avg_pool": ("AdaptiveAvgPool2d", "GlobalAveragePooling2D", "adaptive_avg_pool2d"),
}  # fmt: skip
_FUNCTIONS = {
    "relu": ("ReLU", "Relu"),
    "gelu": ("GELU",),
    "silu": ("SiLU", "swish", "Swish"),
    "tanh": ("Tanh",),
    "sigmoid": ("Sigmoid",),
    "softmax": ("Softmax",),
    "leaky_relu": ("LeakyReLU",),
    "flatten": ("Flatten",),
    "identity": ("Identity",),
    "cross_entropy": ("CrossEntropyLoss", "SparseCategoricalCrossentropy", "crossentropy", "nll"),
    "mse": ("MSELoss", "MeanSquaredError", "mse_loss"),
    "mae": ("L1Loss", "l1_loss"),
    "bce_with_logits": ("BCEWithLogitsLoss", "BCELoss", "bce", "binary_cross_entropy_with_logits"),
    "adam": ("Adam",),
    "adamw": ("AdamW",),
    "sgd": ("SGD",),
    "rmsprop": ("RMSprop", "RMSProp"),
}
FORMULAS = {
    "reshape(x, [n, d])": ("view",),
    "transpose(x, [1, 0])": ("permute", "swapaxes", "movedim"),
    "split(x, 2)": ("chunk", "unbind"),
    "sqrt(sum(x * x, -1))": ("norm",),
    "sqrt(sum((reshape(a, [n, 1, d]) - b) ** 2, -1))": ("cdist",),
    "x * x": ("square",),
    "mean((x - mean(x)) ** 2)": ("var", "variance"),
    "sqrt(mean((x - mean(x)) ** 2))": ("stddev", "std_dev"),
    "max(i64(mask)) > 0": ("any",),
    "min(i64(mask)) > 0": ("all",),
    "select(mask, 0, x)": ("masked_fill",),
    "x[rows]": ("index_select",),
    "x[n - 1 - iota(n)]": ("flip", "reverse"),
    "concat(x[1:], x[:1], axis = 0)": ("roll",),
    "x[iota(2 * n) // 2]": ("repeat_interleave",),
    "f32(iota(n)) / (n - 1)": ("linspace",),
    "zeros(n, d)": ("zeros_like",),
    "ones(n, d)": ("ones_like",),
    "einsum(u, v: i, j -> i j)": ("outer",),
    "clip(x, 0, 6)": ("relu6", "ReLU6"),
    "clip(x, -1, 1)": ("hardtanh", "Hardtanh"),
    "a * sigmoid(b)": ("glu", "GLU"),
    "a * gelu(b)": ("geglu", "GEGLU"),
    "argmax(logits - log(-log(uniform_like(logits))))": ("multinomial", "categorical"),
    "softmax(logits - log(-log(uniform_like(logits))))": ("gumbel_softmax",),
    "sum(a * b, -1) / sqrt(sum(a * a, -1) * sum(b * b, -1))": ("cosine_similarity", "CosineSimilarity"),
    "sum(p * log(p / q), -1)": ("kl_div", "KLDivLoss"),
    "mean(maximum(0, 1 - a * b))": ("hinge", "hinge_loss"),
    "mean(select(abs(a - b) < 1, (a - b) ** 2 / 2, abs(a - b) - 0.5))": (
        "huber", "huber_loss", "HuberLoss", "smooth_l1", "smooth_l1_loss", "SmoothL1Loss",
    ),
    "sqrt(mse(a, b))": ("rmse",),
}  # fmt: skip
"""What is written here -> what elsewhere has a name of its own."""

NAMES = {
    **{name: f"write `{formula}`" for formula, names in FORMULAS.items() for name in names},
    **dict.fromkeys(
        ("depthwise_conv2d", "DepthwiseConv2D"),
        "`use std.layers: conv2d` brings `conv2d(c, 3, pad = 1, groups = c)`",
    ),
    **{name: f"`use std.layers: {here}` brings it" for here, names in _LAYERS.items() for name in names},
    **{name: f"write `{here}`" for here, names in _FUNCTIONS.items() for name in names},
    **dict.fromkeys(("None", "null", "nil", "nullptr", "undefined"), "write `none`"),
    "True": "write `true`",
    "False": "write `false`",
    "std": "`use std.layers: linear` at the top brings a name; the deviation is `sqrt(mean((x - mean(x)) ** 2))`",
    "self": "a layer has no `self`: its parameters and layers are plain names",
    "print": "numbers are shown with `report` in a `train` block",
    "range": "`repeat n as i { … }` counts from 0 to n - 1",
    "len": "sizes have names: that of `x: f32[n, d]` is `n`",
    **dict.fromkeys(("break", "continue"), "a `loop` has a condition: `loop i from 1 to n while … carry x = … { … }`"),
    "pass": "a block may be empty",
    **dict.fromkeys(
        ("manual_seed", "seed", "set_seed"), "the seed is given when a run begins: `netlang train --seed 42`"
    ),
    **dict.fromkeys(("randint", "randperm"), "`i64(n * uniform(m))` draws whole numbers below n"),
    **dict.fromkeys(("frozen", "no_decay"), "an annotation stands before what it marks: `@frozen param …`"),
    "training": "`when training { … }` is for what only training does",
    **dict.fromkeys(("Sequential", "ModuleList", "compose"), "`f >> g` joins layers, and `repeat n { … }` stacks them"),
    **dict.fromkeys(("Parameter", "Variable"), "write `param weight: f32[n] ~ zeros()`"),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "SimpleRNN"), "`use std.recurrent: lstm, gru, simple_rnn` brings them"),
    **dict.fromkeys(
        ("MultiheadAttention", "MultiHeadAttention", "multihead_attention", "self_attention"),
        "`use std.attention: attention` brings one",
    ),
    **dict.fromkeys(
        ("PositionalEncoding", "positional_encoding", "sinusoidal"),
        "`use std.attention: sinusoidal_positions, learned_positions` brings them",
    ),
    **dict.fromkeys(("rope", "rotary"), "`rotary_embedding(x, cos, sin)` turns pairs of columns by angles"),
    **dict.fromkeys(("interpolate", "upsample"), "write `resize(x, [h, w])` or `upsample_nearest(x, [2, 2])`"),
    "pixel_shuffle": "`depth_to_space` does this",
    **dict.fromkeys(
        ("precision", "recall", "f1", "f1_score", "auc", "r2", "r2_score"),
        "any number can be reported: `report name = mean(…)`",
    ),
    "perplexity": "any number can be reported: `report perplexity = exp(loss)`",
    **dict.fromkeys(
        ("adagrad", "Adagrad", "adadelta", "Adadelta", "adamax", "nadam", "lamb", "lion", "lbfgs", "LBFGS"),
        "optimizers are sgd(…), adam(…), adamw(…), rmsprop(…), or a layer of your own",
    ),
    **dict.fromkeys(("momentum", "nesterov"), "write `sgd(0.1, momentum = 0.9)`"),
    **dict.fromkeys(
        (
            "step_lr",
            "StepLR",
            "one_cycle",
            "OneCycleLR",
            "exponential_decay",
            "ExponentialLR",
            "polynomial_decay",
            "reduce_on_plateau",
            "ReduceLROnPlateau",
            "CosineAnnealingLR",
            "warmup",
        ),
        "schedules are `cosine(1e-3, warmup = 100)`, linear_decay(…), step_decay(…), or a `fn` of the step",
    ),
    **dict.fromkeys(("cat", "concatenate", "stack", "hstack", "vstack"), "write `concat(a, b, axis = …)`"),
    **dict.fromkeys(("array", "Tensor", "as_tensor"), "`tensor([0.5, 2])` makes a tensor of a list of numbers"),
    **dict.fromkeys(("torch", "nn", "F", "np", "tf", "jnp"), "operators have plain names: `relu(x)`, `sum(x, -1)`"),
    **dict.fromkeys(("randn", "rand"), "write `normal(n, m)` or `uniform(n, m)`"),
    **dict.fromkeys(("randn_like", "rand_like"), "write `normal_like(x)` or `uniform_like(x)`"),
    **dict.fromkeys(
        ("squeeze", "unsqueeze"),
        "`reshape(x, [n, 1, d])` adds an axis of one element, and `reshape(x, [n, d])` takes it away",
    ),
    **dict.fromkeys(("mm", "bmm", "dot"), "write `a @ b`"),
    **dict.fromkeys(("detach", "no_grad"), "write `stop_gradient(x)`"),
    **dict.fromkeys(("float", "int", "long"), "`f32(x)` and `i64(x)` convert"),
    **dict.fromkeys(
        ("scatter_add", "index_add", "scatter_sum", "segment_sum", "global_add_pool"),
        "`scatter_rows(x, index, n)` adds up the rows of x with the same index, for n of them",
    ),
    "inf": "write `infinity`",
}
"""Names that nothing defines here -> how it is said."""

INITIALIZERS = {
    **dict.fromkeys(("he_normal", "kaiming_normal_"), "write `kaiming_normal()`"),
    **dict.fromkeys(("he_uniform", "kaiming_uniform_"), "write `kaiming_uniform()`"),
    **dict.fromkeys(("glorot_normal", "xavier_normal_"), "write `xavier_normal()`"),
    **dict.fromkeys(("glorot_uniform", "xavier_uniform_"), "write `xavier_uniform()`"),
    **dict.fromkeys(("xavier", "glorot"), "write `xavier_uniform()` or `xavier_normal()`"),
    **dict.fromkeys(("he", "kaiming"), "write `kaiming_normal()` or `kaiming_uniform()`"),
    **dict.fromkeys(("zeros_", "zero", "Zeros"), "write `zeros()`"),
}
"""Initialisers of other names."""

FLAGS: dict[str, str] = dict.fromkeys(
    ("requires_grad", "trainable"), "`@frozen` before a `param` keeps the optimizer away from it"
)
"""Arguments of initialisers."""

ATTRIBUTES = {
    **dict.fromkeys(("shape", "size", "ndim"), "sizes have names: those of `x: f32[n, d]` are `n` and `d`"),
    **dict.fromkeys(("view", "reshape", "flatten"), "write `reshape(x, [n, m])`, or `flatten(x)`"),
    **dict.fromkeys(("permute", "transpose"), "`.T` swaps the last two axes; `transpose(x, [2, 0, 1])` orders all"),
    **dict.fromkeys(("squeeze", "unsqueeze"), "write `reshape(x, [n, 1, d])`"),
    **dict.fromkeys(("detach", "data"), "write `stop_gradient(x)`"),
    **dict.fromkeys(("float", "long", "int", "to", "type", "astype"), "`f32(x)` and `i64(x)` convert"),
    **dict.fromkeys(("cuda", "cpu", "device"), "programs do not name devices; `--device cuda` does"),
    **dict.fromkeys(("backward", "zero_grad", "step"), "`minimize` and `optimizer` stand for the whole step"),
    "item": "a loss or report is a number already",
    "dim": "`rank(x)` is the number of dimensions; sizes have names",
}
"""What a tensor has elsewhere -> how it is said here."""

LISTS = {
    **dict.fromkeys(("append", "extend", "insert"), "`list = [*list, x]` makes a list that is longer"),
    **dict.fromkeys(("values", "indices"), "`values, positions = …` gives each of them a name"),
}
"""What a list has elsewhere -> how it is said here."""

MEMBERS: dict[str, str] = dict.fromkeys(
    ("parameters", "named_parameters", "trainable_variables", "weights", "state_dict"),
    "an optimizer moves all parameters; `phase NAME updates …` chooses",
)
"""What a layer or model has elsewhere -> how it is said here."""

_ARGUMENTS = {  # names of arguments elsewhere -> here
    **dict.fromkeys(("dim", "axes", "dims"), "axis"),
    **dict.fromkeys(("keepdim", "keep_dims"), "keepdims"),
    **dict.fromkeys(("padding",), "pad"),
    **dict.fromkeys(("kernel_size", "pool_size"), "kernel"),
    **dict.fromkeys(("strides",), "stride"),
    **dict.fromkeys(("out_features", "out_channels", "units", "filters", "hidden_size"), "out"),
    **dict.fromkeys(("learning_rate", "rate"), "lr"),
    **dict.fromkeys(("num_heads", "heads", "nhead"), "h"),
    **dict.fromkeys(("num_embeddings", "input_dim"), "rows"),
    **dict.fromkeys(("embedding_dim", "output_dim", "d_model"), "d"),
    **dict.fromkeys(("reduction",), "reduce"),
    "min": "low",
    "max": "high",
    **dict.fromkeys(("attn_mask", "attention_mask"), "mask"),
}
_PARTED = {"betas": ("beta1", "beta2")}
_TAKEN_FROM_THE_INPUT = frozenset(("in_features", "in_channels", "input_size", "input_shape", "num_features"))


def argument(name: str, known: Collection[str]) -> str | None:
    """The help for an argument called `name` where those in `known` exist."""
    if _ARGUMENTS.get(name) in known:
        return f"write `{_ARGUMENTS[name]}`"
    parts = _PARTED.get(name, ())
    if parts and set(parts) <= set(known):
        return f"write {' and '.join(f'`{part} = …`' for part in parts)}"
    if name in _TAKEN_FROM_THE_INPUT:
        return "how many come in follows from the input"
    return did_you_mean(name, known)


def of_attribute(name: str, functions: Collection[str]) -> str:
    """The help for `x.name` where `x` is a tensor; `functions` are the names that could be applied to it."""
    if name in ATTRIBUTES:
        return ATTRIBUTES[name]
    if name in functions:
        return f"functions are applied: `{name}(x)` or `x |> {name}`"
    return "tensors have `.T`; their sizes are the names in the types of the inputs"
