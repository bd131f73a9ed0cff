"""Says what a sentence is called: with a trained LSTM and the vocabulary of its run.

netlang train std:LSTM --data sentences:reviews.txt --out runs/reviews       # lines such as `positive a moving film`
netlang export runs/reviews -o reviews.onnx
python examples/deploy/classify_text.py reviews.onnx runs/reviews/vocabulary.json "a funny and moving film"
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime

model, vocabulary, sentence = sys.argv[1:]
columns = json.loads(Path(vocabulary).read_text("utf-8"))
number = {token: i for i, token in enumerate(columns["tokens"]["tokens"])}
text = sentence.lower() if columns["tokens"].get("lower") else sentence
words = re.findall(r"\w+(?:[-'’]\w+)*|[^\w\s]", text)
tokens = [number.get(word, number["<unknown>"]) for word in words]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"tokens": np.array([tokens])})
probability = np.exp(logits[0] - logits[0].max())
probability /= probability.sum()
print(f"{columns['label']['tokens'][probability.argmax()]}, probability {probability.max():.3f}")
