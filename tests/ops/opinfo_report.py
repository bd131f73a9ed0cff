"""Writes which of PyTorch's OpInfos test our operators: `python -m tests.ops.opinfo_report > docs/opinfo.md`."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable

import torch

from .opinfo_use import NotExpressible
from .test_opinfo import COUNTERPARTS, LARGEST, MOST, infos, name_of, samples_of

REASONS = {
    "decompositions, and singular values and eigenvalues: no such operator in ONNX": (
        *("linalg.cholesky", "linalg.cond", "linalg.eig", "linalg.householder", "linalg.lstsq", "linalg.lu"),
        *(
            "linalg.pinv.",
            "linalg.qr",
            "linalg.svd",
            "cholesky",
            "lu",
            "matrix_exp",
            "norm.nuc",
            "ormqr",
            "pca_lowrank",
        ),
        *("qr", "svd"),
    ),
    "special functions that are sums of many terms: no such operator in ONNX": (
        *("special.", "polygamma", "mvlgamma", "lgamma", "digamma", "erfinv", "i0"),
    ),
    "random numbers, which PyTorch draws otherwise": (
        *("bernoulli", "normal", "nn.functional.fractional_max", "nn.functional.multi_head_attention"),
    ),
    "sparse and strided storage, of which a tensor in ONNX knows nothing": (
        *("sparse", "to_sparse", "as_strided.partial", "_segment_reduce"),
    ),
    "where PyTorch's own gradient is wrong: it gives x that of the elements that are overwritten": (
        "as_strided_scatter",
    ),
    "the next number in the format, which no operator of ONNX gives": ("nextafter",),
    "ONNX Runtime hands no bfloat16 to NumPy": ("bfloat16",),
    "a dynamic programme over alignments, for which ONNX has no operator": ("nn.functional.ctc_loss",),
}
"""Why an OpInfo has no counterpart, by how its name begins."""


def used(info: object) -> tuple[int, int, list[str]]:
    """How many samples of an OpInfo the tests use, how many there are, and why the others are not used."""
    reasons, count, total = Counter[str](), 0, 0
    for sample in samples_of(info):
        total += 1
        try:
            use = COUNTERPARTS[name_of(info)](sample.input, *sample.args, **sample.kwargs)
        except NotExpressible as refusal:
            reasons[str(refusal)] += 1
            continue
        if sum(tensor.numel() for tensor in use.tensors) > LARGEST:
            reasons["very large"] += 1
        else:
            count += 1
    if count > MOST:
        reasons["evenly left out"] = count - MOST
    return min(count, MOST), total, [f"{why} ({number})" for why, number in reasons.items()]


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
        f"{MOST} are used, evenly picked, and none with more than {LARGEST} elements."))  # fmt: skip
    print("\n| entry | samples used | of | without |\n|---|---|---|---|")
    for info in mapped:
        torch.manual_seed(0)
        count, total, reasons = used(info)
        print(f"| `{name_of(info)}` | {count} | {total} | {'; '.join(reasons)} |")
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
