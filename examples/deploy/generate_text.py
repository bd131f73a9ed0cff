"""Lets a trained GPT write: one run of one graph, the loop over the characters and its cache inside.

netlang train std:GPT --data text:FILE --out runs/gpt
netlang export runs/gpt --entry generate -o generate.onnx
python examples/deploy/generate_text.py generate.onnx runs/gpt/vocabulary.json "ROMEO:" 200
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

model, vocabulary, prompt, count = sys.argv[1:]
characters = json.loads(Path(vocabulary).read_text("utf-8"))["tokens"]["tokens"]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
feeds = {
    "prompt": np.array([[characters.index(character) for character in prompt]]),
    "count": np.array(int(count)),
    "temperature": np.array(0.8, np.float32),
    "seed": np.array(0),
}
(tokens,) = session.run(None, feeds)
print("".join(characters[token] for token in tokens[0]))
