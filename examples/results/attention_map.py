"""Draws what a trained Transformer looks at in the source while it translates a sentence.

netlang export runs/multi30k/seed-0/netlang-2400 --entry translate -o translate.onnx
netlang export runs/multi30k/seed-0/netlang-2400 --entry forward -o forward.onnx
python examples/results/attention_map.py translate.onnx forward.onnx runs/multi30k/seed-0/netlang-2400/vocabulary.json \
  "Ein Hund schläft im Gras."

Values inside an exported graph have the names of the program, so that any of them can be asked for: here the softmax of
the decoder's last attention to the source. The picture is the mean over its heads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from matplotlib.figure import Figure
from netlang.runtime.data.vocabulary_file import read_vocabularies

WEIGHTS = "decoder.source_attention.{}.attend/softmax"


def session_with(path: Path, *names: str) -> onnxruntime.InferenceSession:
    """A session of a model that has these inner values as results too."""
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def last_attention(path: Path) -> str:
    """The name of the decoder's last attention to the source."""
    found = {output for node in onnx.load(path).graph.node for output in node.output}
    layers = [i for i in range(len(found)) if WEIGHTS.format(i) in found]
    return WEIGHTS.format(layers[-1])


def draw(weights: np.ndarray, source: list[str], target: list[str], path: Path) -> None:
    """`weights` f32[t, s]: a row for each word of the target."""
    figure = Figure(figsize=(0.42 * len(source) + 1.6, 0.36 * len(target) + 1.2), layout="constrained")
    panel = figure.subplots()
    panel.imshow(weights, cmap="Blues", vmin=0)
    panel.set_xticks(range(len(source)), source, rotation=60, ha="left", rotation_mode="anchor")
    panel.xaxis.tick_top()
    panel.set_yticks(range(len(target)), target)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("translate", type=Path)
    parser.add_argument("forward", type=Path)
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("sentence")
    parser.add_argument("--picture", type=Path, default=Path("attention.png"))
    options = parser.parse_args()
    columns = read_vocabularies(options.vocabulary)
    given = {"source": columns["source"].encode(options.sentence)[None].astype(np.int64)}
    words = np.asarray(session_with(options.translate).run(None, given)[0])
    target = words[:, : int((words != 0).sum())]
    name = last_attention(options.forward)
    weights = np.asarray(session_with(options.forward, name).run([name], {**given, "target": target[:, :-1]})[0])
    read, written = (
        [columns[side].name(int(i)) for i in row]
        for side, row in (("source", given["source"][0]), ("target", target[0, 1:]))
    )
    draw(weights[0].mean(0), read, written, options.picture)
    print(columns["target"].decode(target[0]))


if __name__ == "__main__":
    main()
