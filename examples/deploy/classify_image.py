"""Says which digit a picture shows: a grey `.pgm`, white on black, which is padded to the size that the network takes.

netlang train std:LeNet5 --data mnist:DIR --out runs/lenet
netlang export runs/lenet -o lenet.onnx
python examples/deploy/classify_image.py lenet.onnx seven.pgm
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

model, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(image,) = session.get_inputs()
data = Path(picture).read_bytes()
_kind, *numbers = data.split(maxsplit=4)[:4]
width, height, white = map(int, numbers)
pixels = np.frombuffer(data[-width * height :], np.uint8).reshape(height, width) / white
missing = np.array(image.shape[2:]) - pixels.shape
padded = np.pad(pixels, [(side // 2, side - side // 2) for side in missing])
(logits,) = session.run(None, {image.name: padded[None, None].astype(np.float32)})
probability = np.exp(logits[0] - logits[0].max())
probability /= probability.sum()
print(f"{probability.argmax()}, probability {probability.max():.3f}")
