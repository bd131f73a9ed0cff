"""Lets a trained GPT write: the exported model with onnxruntime and NumPy, one character after the other.

python examples/generate_text.py RUN [PROMPT]
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

run = Path(sys.argv[1])
config = json.loads((run / "config.json").read_text())
alphabet, context = config["alphabet"], config["settings"]["context"]
session = onnxruntime.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
rng = np.random.default_rng(0)

text = sys.argv[2] if len(sys.argv) > 2 else "\n"
for _ in range(500):
    tokens = np.array([[alphabet.index(character) for character in text[-context:]]])
    (logits,) = session.run(None, {"tokens": tokens})
    weights = np.exp((logits[0, -1] - logits[0, -1].max()) / 0.8)  # 0.8: the temperature
    text += alphabet[rng.choice(len(alphabet), p=weights / weights.sum())]
print(text)
