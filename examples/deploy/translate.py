"""Translates a sentence with a trained Transformer: one run of one graph, beam search inside.

netlang train std:Transformer --data parallel:train.de.gz,train.en.gz --tokens words:16000 --out runs/translator
netlang export runs/translator --entry translate -o translate.onnx
python examples/deploy/translate.py translate.onnx runs/translator/vocabulary.json "Ein Hund schläft."
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime

model, vocabulary, sentence = sys.argv[1:]
columns = json.loads(Path(vocabulary).read_text("utf-8"))
source, target = columns["source"], columns["target"]["tokens"]
number = {token: i for i, token in enumerate(source["tokens"])}
text = sentence.lower() if source.get("lower") else sentence
words = re.findall(r"\w+(?:[-'’]\w+)*|[^\w\s]", text)
tokens = [number.get(word, number["<unknown>"]) for word in words] + [number["<end>"]]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(found,) = session.run(None, {"source": np.array([tokens])})
translated = [target[token] for token in found[0] if token > 1] + ["<end>"]  # 0 and 1 are padding and begin
print(re.sub(r" (?=[.,!?;:])", "", " ".join(translated[: translated.index("<end>")])))
