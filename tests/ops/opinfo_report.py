"""Writes which of PyTorch's OpInfos our operators are tested with: `python -m tests.ops.opinfo_report > docs/opinfo.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import torch

from .opinfo_use import NotExpressible
from .test_opinfo import COUNTERPARTS, infos, name_of

REASONS = {
    "decompositions and solvers: no such operator in ONNX": (
        *("linalg.", "cholesky", "lu", "qr", "svd", "pinverse", "ormqr", "triangular_solve", "logdet", "matrix_exp"),
        *("pca_lowrank", "svd_lowrank", "geqrf"),
    ),
    "complex numbers, and transforms that give them": ("fft.", "complex", "polar", "view_as_complex", "angle", "stft"),
    "special functions: no such operator in ONNX": (
        *("special.", "polygamma", "mvlgamma", "lgamma", "digamma", "erfinv", "i0", "igamma", "sinc"),
    ),
    "random": ("nn.functional.dropout", "bernoulli", "normal", "nn.functional.alpha_dropout", "native_dropout",
               "nn.functional.feature_alpha_dropout", "nn.functional.rrelu", "nn.functional.fractional_max"),
    "sparse and strided storage": ("sparse", "to_sparse", "as_strided", "_segment_reduce"),
    "masked tensors": ("masked.",),
}  # fmt: skip
"""Why an OpInfo has no counterpart, by how its name begins; the others could be composed of our operators, and are not."""


def used(info: object) -> tuple[int, int]:
    """How many samples of an OpInfo the tests use, and how many there are."""
    count = total = 0
    for sample in info.sample_inputs("cpu", torch.float32, requires_grad=True):  # type: ignore[attr-defined]
        total += 1
        try:
            COUNTERPARTS[name_of(info)](sample.input, *sample.args, **sample.kwargs)
            count += 1
        except NotExpressible:
            pass
    return count, total


def main() -> None:
    mapped = [info for info in infos() if name_of(info) in COUNTERPARTS]
    others = [name_of(info) for info in infos() if name_of(info) not in COUNTERPARTS]
    print("# PyTorch's own samples\n")
    print("<!-- Written by `python -m tests.ops.opinfo_report`: change the tests, not this page. -->\n")
    print(_wrapped(
        f"PyTorch tests its operators with samples of its own (`torch.testing`, `op_db`; PyTorch {torch.__version__}). "
        f"{len(mapped) + len(others)} entries differentiate in float32. Of these {len(mapped)} are spelled with our "
        "operators in `tests/ops/opinfo_*.py`, and `tests/ops/test_opinfo.py` compares results and gradients in "
        "onnxruntime with PyTorch's, for every sample that our operators can express."))  # fmt: skip
    print("\n| entry | samples used | of |\n|---|---|---|")
    for info in mapped:
        count, total = used(info)
        print(f"| `{name_of(info)}` | {count} | {total} |")
    print("\n## Without a counterpart\n")
    left = set(others)
    for reason, prefixes in REASONS.items():
        names = [name for name in others if name in left and name.startswith(prefixes)]
        left -= set(names)
        _print_names(f"- {reason}", names)
    _print_names("- not spelled out yet", [name for name in others if name in left])


def _print_names(title: str, names: Iterable[str]) -> None:
    print(_wrapped(f"{title}: " + ", ".join(f"`{name}`" for name in names), "  "))


def _wrapped(text: str, indent: str = "") -> str:
    return "\n".join(textwrap.wrap(text, 118, subsequent_indent=indent, break_on_hyphens=False))


if __name__ == "__main__":
    main()
