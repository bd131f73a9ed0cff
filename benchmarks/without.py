"""What the runtime's means bring: `python -m benchmarks.without bert --threads 2`.

netlang is measured beside netlang without each of its means, in processes of their own that take turns; the outputs and
losses are compared first. Above 1, netlang is faster with it; where a mean has nothing to do, it is 1 and what noise
there is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from .cases import CASES, case_named
from .conductor import Effort, Runner, measure
from .frameworks import NETLANG
from .switches import SWITCHES, Switch

ALL = tuple(switch.name for switch in SWITCHES)


def line(switch: Switch, row: Mapping[str, Any]) -> str:
    """How many times as long the step takes without it, and the model by itself, for each size of a batch; and the
    memory that steps need at most."""
    found = {"step": row["training"], **{f"batch {size}": run for size, run in row["inference"].items()}}
    times = (f"{what} {1 / run['ratios'][switch.framework.name]['median']:.2f}" for what, run in found.items())
    return f"  without {switch.name:16}{', '.join(times)}; {row['peak_memory_mib'][switch.framework.name]:.0f} MiB"


def main() -> None:
    """Prints a line for each mean."""
    effort = Effort()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.without", description="what the runtime's means bring")
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("--means", nargs="+", choices=ALL, default=ALL, help="all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=effort.rounds, help="in which all take turns; %(default)s")
    parser.add_argument("--seconds", type=float, default=effort.seconds, help="of each turn; %(default)s")
    options = parser.parse_args()
    switches = [switch for switch in SWITCHES if switch.name in options.means]
    runners = [Runner(NETLANG), *(Runner(switch.framework) for switch in switches)]
    for case in map(case_named, options.cases):
        row = measure(case, runners, options.threads, Effort(options.rounds, options.seconds, starts=1))
        milliseconds = row["training"]["times_ms"]["netlang"]["median"]
        print(f"{case.title}: {milliseconds:.2f} ms, {row['peak_memory_mib']['netlang']:.0f} MiB", flush=True)
        for switch in switches:
            print(line(switch, row), flush=True)


if __name__ == "__main__":
    main()
