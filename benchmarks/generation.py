"""Time to generate text against its length: `python -m benchmarks.generation --out docs/pictures/generation.png`.

A GPT (4 layers, width 128, context 1,024, weights by chance) continues one token to texts of several lengths: by
`generate`, one run of one graph with a cache of keys and values in it; and by a loop outside, around `forward`, which
reads the whole text again for every token. Both must give the same tokens. With `--model Transformer` it is
translations (3 + 3 layers, width 256, 8,000 words), by `translate` with one line, and by a loop around `forward`; each
is 50 words longer than its source. Times are the least processor times of several interleaved runs on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from netlang.compiler import Network
from netlang.compiler.emit import emit
from netlang.compiler.initializers import materialise
from netlang.runtime.job import open_network
from netlang.runtime.session import Device

GPT = {"vocab": 65, "d": 128, "layers": 4, "h": 4, "context": 1024}
TRANSFORMER = {"vocab": 8000, "d": 256, "layers": 3, "h": 8, "ff": 512, "beam": 1}
LENGTHS = {"GPT": (64, 128, 256, 384, 512, 768, 1024), "Transformer": (56, 64, 80, 96, 128)}
LONGEST_UNCACHED = 512
"""Longer texts would take minutes without the cache."""
SCALE = 4
"""Times the initial matrices, so that the next token depends on what stands before it."""

CURVES = (("cached", "with cache", "C0o"), ("uncached", "without cache", "C1o-"))
"""Of the picture: measurement, label, style."""

Rows = list[dict[str, float | None]]
Generate = Callable[[int], np.ndarray]


def texts() -> tuple[Generate, Generate]:
    """Functions from a length to that many tokens of a GPT: with the cache, and without."""
    network = open_network("std:GPT", None, GPT)
    initial = materialise(network.variables, 0)
    weights = {name: array * np.float32(SCALE if array.ndim > 1 else 1) for name, array in initial.items()}
    cached, plain = _sessions(network, "generate")

    def with_cache(length: int) -> np.ndarray:
        call = {"count": np.array(length - 1), "temperature": np.array(0, np.float32), "seed": np.array(0)}
        return _run(cached, weights, {"prompt": np.array([[1]]), **call})[0]

    def without_cache(length: int) -> np.ndarray:
        return _continued(lambda tokens: _run(plain, weights, {"tokens": tokens}), length)

    return with_cache, without_cache


def translations() -> tuple[Generate, Generate]:
    """Functions from a length to that many words of a Transformer: with the cache, and without."""
    network = open_network("std:Transformer", None, TRANSFORMER)
    weights = materialise(network.variables, 0)
    cached, plain = _sessions(network, "translate")

    def source(length: int) -> np.ndarray:
        return np.arange(3, length - 47)[None]

    def with_cache(length: int) -> np.ndarray:
        return _run(cached, weights, {"source": source(length)})[0]

    def without_cache(length: int) -> np.ndarray:
        given = {"source": source(length)}
        return _continued(lambda words: _run(plain, weights, {**given, "target": words}), length)

    return with_cache, without_cache


GENERATORS = {"GPT": texts, "Transformer": translations}


def _sessions(network: Network, entry: str) -> tuple[Any, Any]:
    """Of the entry with the cache, and of `forward`."""
    device = Device(threads=1)
    return device.session(emit(network.graph(entry))), device.session(emit(network.graph("forward")))


def _continued(logits_of: Callable[[np.ndarray], np.ndarray], length: int) -> np.ndarray:
    """The most probable token after each, from one on."""
    tokens = np.array([[1]])
    while tokens.shape[1] < length:
        tokens = np.concatenate([tokens, logits_of(tokens)[:, -1].argmax(-1)[:, None]], 1)
    return tokens[0]


def _run(session: Any, weights: Mapping[str, np.ndarray], feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """The one result, from the feeds and those of the weights that are inputs."""
    names = {item.name for item in session.get_inputs()}
    return session.run(None, {name: array for name, array in {**weights, **feeds}.items() if name in names})[0]


def measure(model: str, repeats: int) -> Rows:
    """Seconds for each length; None for what was not run. Raises AssertionError where the two write different texts."""
    with_cache, without_cache = GENERATORS[model]()
    rows: Rows = []
    for length in LENGTHS[model]:
        seconds: dict[str, list[float]] = {"cached": [], "uncached": []}
        for _ in range(repeats):
            text = _timed(with_cache, length, seconds["cached"])
            if length <= LONGEST_UNCACHED:
                again = _timed(without_cache, length, seconds["uncached"])
                assert np.array_equal(text, again), f"different texts of {length} tokens"
        rows.append({"length": length, **{name: min(times, default=None) for name, times in seconds.items()}})
    return rows


def _timed(generate: Generate, length: int, seconds: list[float]) -> np.ndarray:
    start = time.process_time()
    tokens = generate(length)
    seconds.append(time.process_time() - start)
    return tokens


def line(rows: Rows) -> tuple[float, float, float]:
    """The straight line through the times with the cache: seconds at 0, seconds a token, and R²."""
    lengths, times = np.array([(row["length"], row["cached"]) for row in rows]).T
    slope, start = np.polyfit(lengths, times, 1)
    left = times - (start + slope * lengths)
    return float(start), float(slope), float(1 - (left**2).sum() / ((times - times.mean()) ** 2).sum())


def draw(rows: Rows, path: Path) -> None:
    """Both curves and the line as a picture."""
    from matplotlib.figure import Figure

    start, slope, _ = line(rows)
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    panel = figure.subplots()
    for name, label, style in CURVES:
        points = [(row["length"], row[name]) for row in rows if row[name] is not None]
        panel.plot(*zip(*points, strict=True), style, label=label)
    ends = [0, rows[-1]["length"]]
    panel.plot(ends, [start + slope * x for x in ends], "C0", linewidth=1, label=f"{slope * 1e3:.2f} ms a token")
    panel.set(xlabel="tokens", ylabel="seconds")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _seconds(value: float | None) -> str:
    return f"{'–':>10}" if value is None else f"{value:10.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=GENERATORS, default="GPT")
    parser.add_argument("--out", type=Path, help="where to draw the picture")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rows = measure(arguments.model, arguments.repeats)
    start, slope, r2 = line(rows)
    if arguments.json:
        print(json.dumps({"rows": rows, "start": start, "seconds_per_token": slope, "r2": r2}, indent=2))
    else:
        print("tokens    cached  uncached   (seconds)")
        for row in rows:
            print(f"{row['length']:6}{_seconds(row['cached'])}{_seconds(row['uncached'])}")
        print(f"the line through the cached times: {start:.3f} s + {slope * 1e3:.3f} ms a token, R² = {r2:.5f}")
    if arguments.out:
        draw(rows, arguments.out)


if __name__ == "__main__":
    main()
