"""The benchmarks: `python -m benchmarks`. A complete run also writes docs/benchmarks.md and benchmarks/results."""

from __future__ import annotations

import argparse
import sys

from . import compilation, machine, report
from .cases import CASES, case_named
from .conductor import Disagreement, Effort, Runner, measure
from .frameworks import JAX, NETLANG, ORT_TRAINING, TORCH, TORCH_COMPILE

QUICK = Effort(rounds=2, seconds=0.2, starts=1)
"""Enough to see whether everything works."""


def main() -> int:
    """Measures what the command line asks for; 1 where two frameworks do not compute the same."""
    options = _options()
    effort = QUICK if options.quick else Effort()
    runners = _runners(options)
    results = {"machine": machine.describe(), "load": round(machine.load(), 2), "rows": [], "compilation": []}
    disagreements = 0
    for case in () if options.only == "compilation" else map(case_named, options.cases):
        for threads in options.threads:
            _say(f"{case.title}, {threads} thread{'s' * (threads > 1)}")
            try:
                results["rows"].append(measure(case, runners, threads, effort))
            except Disagreement as error:
                _say(f"error: {error}")
                disagreements += 1
    for name in () if options.only == "steps" else _subjects(options):
        _say(f"compile {compilation.SUBJECTS[name].title}")
        results["compilation"].append(compilation.measure(name))
    print(report.markdown(results))
    if _complete(options) and not disagreements:
        report.save(results)
    else:
        _say("a part of the suite: nothing recorded")
    return 1 if disagreements else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="netlang and its peers side by side. Without arguments everything is measured, and recorded.",
    )
    names = [case.name for case in CASES]
    parser.add_argument(
        "cases", nargs="*", default=names, metavar="CASE", help=f"of {', '.join(names)}; all by default"
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--torch-compile", action="store_true", help="measure torch.compile too, which starts slowly")
    parser.add_argument("--ort-training", metavar="PYTHON", help="measure onnxruntime-training, which this Python has")
    parser.add_argument("--jax", metavar="PYTHON", help="measure JAX, which this Python has")
    parser.add_argument("--only", choices=["steps", "compilation"], help="one half of the suite")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    options = parser.parse_args()
    for name in options.cases:
        if name not in names:
            parser.error(f"there is no case {name!r}; there are {', '.join(names)}")
    return options


def _runners(options: argparse.Namespace) -> list[Runner]:
    runners = [Runner(NETLANG), Runner(TORCH)]
    if options.torch_compile:
        runners.append(Runner(TORCH_COMPILE))
    if options.ort_training:
        runners.append(Runner(ORT_TRAINING, options.ort_training))
    if options.jax:
        runners.append(Runner(JAX, options.jax))
    return runners


def _subjects(options: argparse.Namespace) -> list[str]:
    """The networks to compile: all for a run over all cases, otherwise the cases named."""
    return list(compilation.SUBJECTS) if len(options.cases) == len(CASES) else options.cases


def _complete(options: argparse.Namespace) -> bool:
    return not options.quick and options.only is None and len(options.cases) == len(CASES) and options.threads == [1, 2]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
