"""Finds the words that are used like a word: those whose vectors point most nearly in the same direction.

netlang train std:SkipGram --data neighbours:text.txt --tokens words:20000:lower --batch 512 --out runs/words
netlang export runs/words --entry similar -o similar.onnx
python examples/deploy/nearest_words.py similar.onnx runs/words/vocabulary.json king
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

model, vocabulary, word = sys.argv[1:]
words = json.loads(Path(vocabulary).read_text("utf-8"))["word"]["tokens"]
if word not in words:
    sys.exit(f"`{word}` is not among the {len(words):,} words of the training")
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(found,) = session.run(None, {"word": np.array([words.index(word)])})
print(*(words[token] for token in found[0]), sep="\n")
