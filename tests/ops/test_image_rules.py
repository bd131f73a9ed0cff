"""Images and signals at special points: every way to interpolate, old operator sets, sizes known only at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.ops import resize, spectral
from netlang.compiler.ops.interpolation import COORDINATES, ROUNDINGS, Interpolation
from netlang.compiler.reading import read_model
from onnx import helper
from onnx.reference import ReferenceEvaluator

from netlang.diagnostics import DiagnosticError
from netlang.dims import symbol
from netlang.types import TensorType

from .harness import run_onnx

Arrays = dict[str, np.ndarray]


def model(op_type: str, inputs: Arrays, constants: Arrays, opset: int, shapes: dict[str, list[Any]] | None = None,
          names: str = "", **attributes: Any) -> onnx.ModelProto:  # fmt: skip
    """A model of one node. `names` are its inputs where some are left out: "x - s" leaves out the second."""
    order = names.split() if names else [*inputs, *constants]
    node = helper.make_node(op_type, ["" if name == "-" else name for name in order], ["y"], **attributes)
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), (shapes or {}).get(name, array.shape)
        )
        for name, array in inputs.items()
    ]
    graph = helper.make_graph(
        [node],
        op_type,
        infos,
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run_runtime(proto: onnx.ModelProto, feeds: Arrays) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def run_read(proto: onnx.ModelProto, feeds: Arrays) -> np.ndarray:
    """What the model gives after reading and emission; no node may be left to the runtime as it is."""
    reading = read_model(proto)
    assert not any(node.op == "foreign" for node in reading.graph.nodes)
    return run_runtime(emit(reading.graph, weights=reading.weights), feeds)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# --- resize --------------------------------------------------------------------------------------------------------

KERNELS = [
    *({"mode": "nearest", "rounding": rounding} for rounding in ROUNDINGS),
    *({"mode": mode, "antialias": antialias, "exclude_outside": exclude}
      for mode in ("linear", "cubic") for antialias in (False, True) for exclude in (False, True)
      if antialias or mode == "cubic" or not exclude),
]  # fmt: skip


KERNELS_AT = [
    (coordinates, kernel)
    for coordinates in COORDINATES
    for kernel in KERNELS
    if coordinates != "tf_half_pixel_for_nn"  # gone from this operator set
    and not (coordinates == "tf_crop_and_resize" and kernel.get("antialias"))  # ONNX does not say what that means
]


@pytest.mark.parametrize(("coordinates", "kernel"), KERNELS_AT, ids=str)
def test_interpolation_is_that_of_the_runtime(coordinates: str, kernel: dict[str, Any]):
    """Resizing the identity gives the matrix."""
    interpolation = Interpolation(coordinates=coordinates, start=0.1, end=0.8, **kernel)
    names = {"rounding": "nearest_mode", "mode": "mode", "antialias": "antialias", "exclude_outside": "exclude_outside"}
    attributes = {names[key]: int(value) if isinstance(value, bool) else value for key, value in kernel.items()}
    for size, result in [(5, 9), (9, 4), (4, 8), (7, 1), (1, 3), (10, 3), (2, 7)]:
        inputs = {"x": np.eye(size, dtype=np.float32), "roi": np.array([0.1, 0.8], np.float32), "s": np.array([result])}
        proto = model("Resize", inputs, {}, 19, names="x roi - s", axes=[1], **attributes,
                      coordinate_transformation_mode=coordinates)  # fmt: skip
        close(interpolation.matrix(size, result), run_runtime(proto, inputs))


@pytest.mark.parametrize(
    ("opset", "op_type", "scales", "attributes"),
    [
        (7, "Upsample", [1, 1, 2, 3], {"mode": "nearest"}),
        (7, "Upsample", [1, 1, 2.5, 1], {"mode": "linear"}),
        (9, "Upsample", [1, 1, 1.7, 3], {"mode": "nearest"}),
        (9, "Upsample", [1, 1, 2, 3], {"mode": "linear"}),
        (10, "Resize", [1, 1, 2, 0.6], {"mode": "nearest"}),
        (10, "Resize", [1, 1, 0.4, 1.5], {"mode": "linear"}),
        (11, "Resize", [1, 1, 0.6, 2], {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}),
        (11, "Resize", [1, 1, 0.8, 0.8], {"mode": "cubic", "cubic_coeff_a": -0.5}),
        (13, "Resize", [1, 1, 0.55, 1.3], {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
        (18, "Resize", [1, 1, 0.55, 0.3], {"mode": "linear", "antialias": 1}),
    ],
)
def test_operator_sets(opset: int, op_type: str, scales: list[float], attributes: dict[str, Any]):
    feeds = {"x": numbers(2, 3, 5, 6)}
    if opset == 7:
        proto = model(op_type, feeds, {}, opset, scales=[float(scale) for scale in scales], **attributes)
    else:
        names = "x roi s" if opset > 10 else "x s"
        constants = {"s": np.array(scales, np.float32), "roi": np.zeros(0, np.float32)}
        proto = model(op_type, feeds, constants, opset, names=names, **attributes)
    close(run_read(proto, feeds), run_runtime(proto, feeds))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", [[2, 3], [0.5, 1.5], [1.25, 0.8]])
def test_resize_of_open_sizes(mode: str, scales: list[float]):
    feeds = {"x": numbers(2, 3, 4, 10)}
    proto = model("Resize", feeds, {"s": np.array([1, 1, *scales], np.float32)}, 18, {"x": ["n", 3, "h", "w"]},
                  names="x - s", mode=mode)  # fmt: skip
    close(run_read(proto, feeds), run_runtime(proto, feeds))


def test_resize_to_sizes_of_the_run():
    feeds = {"x": numbers(1, 2, 4, 5), "s": np.array([1, 2, 7, 3])}
    proto = model("Resize", feeds, {}, 18, names="x - - s", mode="linear")
    close(run_read(proto, feeds), run_runtime(proto, feeds))


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_in_proportion(policy: str):
    """The axis that did not decide keeps the factor, which its rounded size does not say."""
    feeds = {"x": numbers(1, 1, 4, 6)}
    proto = model("Resize", feeds, {"s": np.array([7, 8])}, 19, names="x - - s", mode="linear", axes=[2, 3],
                  keep_aspect_ratio_policy=policy)  # fmt: skip
    close(run_read(proto, feeds), ReferenceEvaluator(proto).run(None, feeds)[0])


def test_resize_beyond_the_image():
    feeds = {"x": numbers(1, 1, 4, 6)}
    region = np.array([0.4, -0.3, 0.6, 1.2], np.float32)
    proto = model("Resize", feeds, {"roi": region, "s": np.array([3, 5])}, 19, names="x roi - s", mode="linear",
                  axes=[2, 3], coordinate_transformation_mode="tf_crop_and_resize",
                  extrapolation_value=10.0)  # fmt: skip
    close(run_read(proto, feeds), run_runtime(proto, feeds))


@pytest.mark.parametrize("antialias", [False, True])
def test_matrices_too_large_to_write(monkeypatch: pytest.MonkeyPatch, antialias: bool):
    """The run makes them, in every dtype."""
    feeds = {"x": numbers(2, 5, 6)}
    kernel: dict[str, Any] = {"mode": "cubic", "antialias": antialias}
    b = Builder()
    x = b.input("x", TensorType("f32", (2, 5, 6)))
    wide = b.resize(b.cast(x, dtype="f64"), size=(3, 4), **kernel)
    b.output("y", b.add(b.resize(x, size=(3, 4), **kernel), b.cast(wide, dtype="f32")))
    written = run_onnx(b.graph(), feeds)["y"]
    monkeypatch.setattr(resize, "LARGEST_CONSTANT", 0)
    close(run_onnx(b.graph(), feeds)["y"], written)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_gradient_of_resize_of_open_sizes(mode: str):
    h, w = symbol("h"), symbol("w")
    b = Builder()
    x = b.input("x", TensorType("f32", (2, 3, h, w)))
    y = b.resize(x, size=(2 * h, 3 * w), mode=mode)
    g = b.input("g", y.type)
    b.output("dx", gradients(b, b.sum(b.mul(y, g)), [x])[0])
    image, weight = torch.tensor(numbers(2, 3, 4, 5), requires_grad=True), torch.tensor(numbers(2, 3, 8, 15))
    names = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
    (torch.nn.functional.interpolate(image, (8, 15), mode=names[mode]) * weight).sum().backward()
    assert image.grad is not None
    feeds = {"x": image.detach().numpy(), "g": weight.numpy()}
    close(run_onnx(b.graph(), feeds)["dx"], image.grad.numpy())


# --- grids ---------------------------------------------------------------------------------------------------------


def test_grid_of_a_batch_by_another_name():
    """As exporters write it, which number the axes of each input."""
    feeds = {"x": numbers(2, 3, 4, 5), "grid": numbers(2, 3, 4, 2)}
    proto = model(
        "GridSample", feeds, {}, 16, {"x": ["n", 3, "h", "w"], "grid": ["m", "p", "q", "two"]}, mode="bilinear"
    )
    close(run_read(proto, feeds), run_runtime(proto, feeds))


EXACT = [-3.1, -1, -0.6, -0.2, 0, 0.2, 0.3, 0.6, 1, 1.4, 4.3]
CLEAR = [-3.07, -0.96, -0.57, -0.29, 0.16, 0.28, 0.44, 0.71, 1.16, 1.43, 4.29]


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_of_open_sizes(mode: str, padding: str, align_corners: bool):
    """On elements, on ends and far outside, for the nearest beside halves; its parts give what the runtime does."""
    n, h, w = symbol("n"), symbol("h"), symbol("w")
    b = Builder()
    x, grid = b.input("x", TensorType("f32", (n, 2, h, w))), b.input("grid", TensorType("f32", (n, 3, w, 2)))
    y = b.grid_sample(x, grid, mode=mode, padding=padding, align_corners=align_corners)
    b.output("y", y)
    chosen = CLEAR if mode == "nearest" else EXACT
    places = np.random.default_rng(1).choice(chosen, (2, 3, 5, 2))
    feeds = {"x": numbers(2, 2, 4, 5), "grid": places.astype(np.float32)}
    close(evaluate(b.graph(), feeds)["y"], run_onnx(b.graph(), feeds)["y"])


@pytest.mark.filterwarnings("ignore:Since version 1.3.0")
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (1, 5)])
def test_affine_grid_of_open_sizes(align_corners: bool, shape: tuple[int, int]):
    h, w = symbol("h"), symbol("w")
    b = Builder()
    theta, x = b.input("theta", TensorType("f32", (2, 2, 3))), b.input("x", TensorType("f32", (h, w)))
    grid = b.affine_grid(theta, size=(h, w), align_corners=align_corners)
    b.output("y", b.add(grid, b.sum(b.mul(x, 0.0))))
    feeds = {"theta": numbers(2, 2, 3), "x": numbers(*shape)}
    expected = torch.nn.functional.affine_grid(torch.tensor(feeds["theta"]), [2, 1, *shape], align_corners)
    close(run_onnx(b.graph(), feeds)["y"], expected.numpy())


# --- regions -------------------------------------------------------------------------------------------------------

REGIONS = np.array(
    [[0, 0, 4, 5], [-3, 1, 9, 2.5], [2, 2, 2, 2], [3, 4, 1, 2], [8, 8, 20, 20], [-9, -9, -4, -5], [0.5, 0, 1, 4]],
    np.float32,
)
"""The image, one that is larger, one of no size, one upside down, two beside the image, one of a part."""


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("samples", [0, 1, 2])
@pytest.mark.parametrize(("opset", "attributes"), [
    (10, {}), (16, {}), (16, {"coordinate_transformation_mode": "output_half_pixel", "spatial_scale": 0.7}),
])  # fmt: skip
def test_regions_of_any_place(mode: str, samples: int, opset: int, attributes: dict[str, Any]):
    feeds = {"x": numbers(2, 3, 5, 6), "rois": REGIONS, "image": np.array([0, 1, 0, 1, 0, 1, 1])}
    proto = model("RoiAlign", feeds, {}, opset, mode=mode, sampling_ratio=samples, output_height=2, output_width=3,
                  **attributes)  # fmt: skip
    close(run_read(proto, feeds), run_runtime(proto, feeds))


def test_no_regions():
    feeds = {"x": numbers(2, 3, 5, 6), "rois": np.zeros((0, 4), np.float32), "image": np.zeros(0, np.int64)}
    proto = model("RoiAlign", feeds, {}, 16, {"rois": ["k", 4], "image": ["k"]}, output_height=2)
    assert run_read(proto, feeds).shape == (0, 3, 2, 1)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_pooled_regions_of_any_place(scale: float):
    corners = np.round(REGIONS)
    regions = np.concatenate([np.array([[0], [1], [0], [1], [0], [1], [1]], np.float32), corners], axis=1)
    feeds = {"x": numbers(2, 3, 5, 6), "rois": regions}
    proto = model("MaxRoiPool", feeds, {}, 16, pooled_shape=[2, 3], spatial_scale=scale)
    close(run_read(proto, feeds), run_runtime(proto, feeds))


def test_images_are_not_decoded():
    proto = model("ImageDecoder", {"x": np.zeros(9, np.uint8)}, {}, 20)
    with pytest.raises(DiagnosticError) as caught:
        read_model(proto)
    assert caught.value.diagnostics[0].code == "onnx-unsupported"


# --- spectra -------------------------------------------------------------------------------------------------------


def transform(size: int, parts: int, **attributes: Any) -> Graph:
    b = Builder()
    x = b.input("x", TensorType("f32", (2, size, parts)))
    y = b.dft(x, **attributes)
    b.output("y", y)
    b.output("dx", gradients(b, b.sum(b.mul(y, b.input("g", y.type))), [x])[0])
    return b.graph()


@pytest.mark.parametrize("length", [30, 32, 35, 64, 37, 48, 120])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("onesided", [False, True])
def test_transforms_in_steps(monkeypatch: pytest.MonkeyPatch, length: int, inverse: bool, onesided: bool):
    """Steps of steps, as for long axes, and lengths that have no factors."""
    monkeypatch.setattr(spectral, "LONGEST_PRODUCT", 6)
    bins = length // 2 + 1
    parts = 1 if onesided and not inverse else 2
    size = bins if onesided and inverse else length
    graph = transform(size, parts, length=length, inverse=inverse, onesided=onesided)
    x = torch.tensor(numbers(2, *graph.inputs[0].value.type.shape[1:]), requires_grad=True)  # type: ignore
    signal = x[..., 0] if parts == 1 else torch.view_as_complex(x)
    functions = {(False, False): torch.fft.fft, (True, False): torch.fft.ifft,
                 (False, True): torch.fft.rfft, (True, True): torch.fft.irfft}  # fmt: skip
    expected = functions[inverse, onesided](signal, n=length)
    expected = expected[..., None] if onesided and inverse else torch.view_as_real(expected)
    weight = numbers(*expected.shape)
    (expected * torch.tensor(weight)).sum().backward()
    assert x.grad is not None
    found = run_onnx(graph, {"x": x.detach().numpy(), "g": weight})
    close(found["y"], expected.detach().numpy(), 1e-4)
    close(found["dx"], x.grad.numpy(), 1e-4)


@pytest.mark.parametrize("length", [1000, 1024, 1009, 6000])
def test_long_transforms_keep_their_digits(length: int):
    b = Builder()
    b.output("y", b.dft(b.input("x", TensorType("f32", (2, length, 1))), onesided=True))
    x = numbers(2, length, 1)
    expected = np.fft.rfft(x[..., 0].astype(np.float64))
    found = run_onnx(b.graph(), {"x": x})["y"]
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], expected, atol=3e-4)


@pytest.mark.parametrize(("inverse", "onesided"), [(False, False), (True, False), (False, True), (True, True)])
def test_transform_of_open_length(inverse: bool, onesided: bool):
    b = Builder()
    parts = 1 if onesided and not inverse else 2
    x = b.input("x", TensorType("f32", (2, symbol("n"), parts)))
    b.output("y", b.dft(x, inverse=inverse, onesided=onesided))
    for length in (6, 9):
        feeds = {"x": numbers(2, length, parts)}
        fixed = transform(length, parts, inverse=inverse, onesided=onesided)
        close(run_onnx(b.graph(), feeds)["y"], evaluate(fixed, {**feeds, "g": evaluate(b.graph(), feeds)["y"]})["y"])


@pytest.mark.parametrize(
    ("opset", "length", "attributes"),
    [
        (17, None, {}),
        (17, 7, {"axis": 2}),
        (19, 4, {"axis": -2, "inverse": 1}),
        (20, None, {"inverse": 1}),
        (20, 9, {}),
    ],
)
def test_transforms_of_operator_sets(opset: int, length: int | None, attributes: dict[str, Any]):
    feeds = {"x": numbers(3, 6, 5, 2)}
    constants = {} if length is None else {"n": np.array(length)}
    proto = model("DFT", feeds, constants, opset, **attributes)
    close(run_read(proto, feeds), ReferenceEvaluator(proto).run(None, feeds)[0], 1e-4)


@pytest.mark.parametrize("constants", [
    {"step": np.array(3), "window": np.hanning(8).astype(np.float32)},
    {"step": np.array(5), "window": np.hanning(8).astype(np.float32), "length": np.array(8)},
    {"step": np.array(2), "-": np.array(0), "length": np.array(5)},
], ids="-".join)  # fmt: skip
@pytest.mark.parametrize("onesided", [0, 1])
def test_short_transforms(constants: Arrays, onesided: int):
    feeds = {"x": numbers(2, 30, 1)}
    names = " ".join(["x", *constants])
    stated = {name: array for name, array in constants.items() if name != "-"}
    proto = model("STFT", feeds, stated, 17, {"x": ["n", "t", 1]}, names=names, onesided=onesided)
    expected = ReferenceEvaluator(proto).run(None, feeds)[0]
    close(run_read(proto, feeds), expected, 1e-4)


@pytest.mark.parametrize("op_type", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_of_open_size(op_type: str, periodic: int):
    feeds = {"n": np.array(9)}
    proto = model(op_type, feeds, {}, 17, periodic=periodic)
    close(run_read(proto, feeds), run_runtime(proto, feeds))


def test_mel_weights_of_known_numbers():
    constants = {"bins": np.array(8), "length": np.array(64), "rate": np.array(8192), "low": np.float32(20),
                 "high": np.float32(4000)}  # fmt: skip
    proto = model("MelWeightMatrix", {}, {name: np.asarray(value) for name, value in constants.items()}, 17)
    close(run_read(proto, {}), run_runtime(proto, {}))
