"""Writes which of PyTorch's OpInfos test our operators: `python -m tests.ops.opinfo_report > docs/opinfo.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import torch

from .test_opinfo import COUNTERPARTS, LARGEST, MOST, infos, name_of, uses

REASONS = {
    "decompositions, and singular values and eigenvalues: no such operator in ONNX": (
        *("linalg.cholesky", "linalg.cond", "linalg.eig", "linalg.householder", "linalg.lstsq", "linalg.lu"),
        *("linalg.pinv.", "linalg.qr", "linalg.svd", "cholesky", "lu", "matrix_exp", "norm.nuc", "ormqr"),
        *("pca_lowrank", "qr", "svd"),
    ),
    "special functions that are sums of many terms: no such operator in ONNX": (
        *("special.", "polygamma", "mvlgamma", "lgamma", "digamma", "erfinv", "i0"),
    ),
    "random numbers, which PyTorch draws in a way of its own": (
        *("bernoulli", "normal", "nn.functional.fractional_max", "nn.functional.multi_head_attention"),
    ),
    "sparse and strided storage, of which a tensor in ONNX knows nothing": (
        *("sparse", "to_sparse", "as_strided.partial"),
    ),
    "PyTorch's own gradient is wrong: x gets that of the elements that are overwritten": ("as_strided_scatter",),
    "ONNX Runtime hands no bfloat16 to NumPy": ("bfloat16",),
    "a dynamic programme over alignments, for which ONNX has no operator": ("nn.functional.ctc_loss",),
}
"""Why an OpInfo has no counterpart, by how its name begins."""


def main() -> None:
    mapped = [info for info in infos() if name_of(info) in COUNTERPARTS]
    others = [name_of(info) for info in infos() if name_of(info) not in COUNTERPARTS]
    print("# PyTorch's own samples\n")
    print("<!-- Written by `python -m tests.ops.opinfo_report`: change the tests, not this page. -->\n")
    print(_wrapped(
        f"PyTorch tests its operators with samples of its own (`torch.testing`, `op_db`; PyTorch {torch.__version__}). "
        f"{len(mapped) + len(others)} entries differentiate in float32. Of these {len(mapped)} are spelled with our "
        "operators in `tests/ops/opinfo_*.py`, and `tests/ops/test_opinfo.py` compares results and gradients in "
        "onnxruntime with PyTorch's, for every sample that our operators can express. Of those with very many samples "
        f"{MOST} are used, evenly picked, and none with more than {LARGEST:,} elements."))  # fmt: skip
    print("\n| entry | samples used | of | without |\n|---|---|---|---|")
    for info in mapped:
        torch.manual_seed(0)
        samples, reasons = uses(info)
        total = len(samples) + sum(reasons.values())
        without = "; ".join(f"{reason} ({count})" for reason, count in reasons.items())
        print(f"| `{name_of(info)}` | {len(samples)} | {total} | {without} |")
    print("\n## Without a counterpart\n")
    left = set(others)
    for reason, prefixes in REASONS.items():
        names = [name for name in others if name in left and name.startswith(prefixes)]
        left -= set(names)
        _print_names(f"- {reason}", names)
    assert not left, f"no reason is given for {sorted(left)}"


def _print_names(title: str, names: Iterable[str]) -> None:
    print(_wrapped(f"{title}: " + ", ".join(f"`{name}`" for name in names), "  "))


def _wrapped(text: str, indent: str = "") -> str:
    return "\n".join(textwrap.wrap(text, 118, subsequent_indent=indent, break_on_hyphens=False))


if __name__ == "__main__":
    main()
