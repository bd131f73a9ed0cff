"""The benchmarks: `python -m benchmarks`. With `--record` docs/benchmarks.md and benchmarks/results keep them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from . import compilation, machine, records, report
from .cases import CASES, case_named
from .conductor import Disagreement, Effort, Runner, measure
from .frameworks import JAX, NETLANG, ORT_TRAINING, TORCH, TORCH_COMPILE, TORCH_ONNX

QUICK = Effort(rounds=2, seconds=0.2, starts=1)
"""Enough to see whether everything works."""


def main() -> int:
    """Measures what the command line asks for; 1 where a row failed, or two frameworks did not compute the same."""
    options = _options()
    here = machine.describe()
    results = records.empty(here)

    def keep(add: Callable[[records.Results, Any], None], new: dict[str, Any]) -> None:
        add(results, new)
        if options.record:  # at once, so that a run that is cut short leaves what it has measured
            kept = records.recorded(here)
            add(kept, new)
            records.save(kept)

    failures = _measure_steps(options, lambda row: keep(records.add_row, row))
    for name in _subjects(options):
        _say(f"compile {compilation.SUBJECTS[name].title}")
        keep(records.add_compilation, compilation.measure(name))
    print(report.markdown(results))
    if options.record:
        report.write(records.recorded(here))
    return 1 if failures else 0


def _measure_steps(options: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> int:
    """Every row that is asked for; the number of those that failed."""
    failures = 0
    effort = QUICK if options.quick else Effort(options.rounds, options.seconds, options.starts)
    for case in () if options.only == "compilation" else map(case_named, options.cases):
        for threads in options.threads:
            _say(f"{case.title}, {threads} thread{'s' * (threads > 1)}")
            try:
                keep(measure(case, _runners(options), threads, effort))
            except (Disagreement, RuntimeError) as error:
                _say(f"error: {error}")
                failures += 1
    return failures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="netlang and its peers side by side. What is measured of some models and peers takes its place "
        "among what was recorded before on the same machine with the same versions.",
    )
    names, effort = [case.name for case in CASES], Effort()
    parser.add_argument(
        "cases", nargs="*", default=names, metavar="CASE", help=f"of {', '.join(names)}; all by default"
    )
    parser.add_argument("--record", action="store_true", help="keep the numbers, in docs/benchmarks.md too")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--no-eager", action="store_true", help="leave out PyTorch eager and its ONNX export")
    parser.add_argument("--torch-compile", action="store_true", help="measure torch.compile too, which starts slowly")
    parser.add_argument("--ort-training", metavar="PYTHON", help="measure onnxruntime-training, which this Python has")
    parser.add_argument("--jax", metavar="PYTHON", help="measure JAX, which this Python has")
    parser.add_argument("--only", choices=["steps", "compilation"], help="one half of the suite")
    parser.add_argument("--rounds", type=int, default=effort.rounds, help="in which all take turns; %(default)s")
    parser.add_argument("--seconds", type=float, default=effort.seconds, help="of each turn; %(default)s")
    parser.add_argument("--starts", type=int, default=effort.starts, help="of each framework; %(default)s")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, one start")
    options = parser.parse_args()
    for name in options.cases:
        if name not in names:
            parser.error(f"there is no case {name!r}; there are {', '.join(names)}")
    if options.quick and options.record:
        parser.error("what is measured in a hurry is not recorded: leave out --quick, or set --rounds and --seconds")
    return options


def _runners(options: argparse.Namespace) -> list[Runner]:
    runners = [Runner(NETLANG)]
    if not options.no_eager:
        runners += [Runner(TORCH), Runner(TORCH_ONNX)]
    if options.torch_compile:
        runners.append(Runner(TORCH_COMPILE))
    if options.ort_training:
        runners.append(Runner(ORT_TRAINING, options.ort_training))
    if options.jax:
        runners.append(Runner(JAX, options.jax))
    return runners


def _subjects(options: argparse.Namespace) -> list[str]:
    """The networks to compile: all for a run over all cases, otherwise the cases named."""
    if options.only == "steps":
        return []
    return list(compilation.SUBJECTS) if len(options.cases) == len(CASES) else options.cases


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
