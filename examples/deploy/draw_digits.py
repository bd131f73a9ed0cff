"""Draws digits with a trained diffusion model: one run of one graph, all steps from noise to image inside.

netlang train std:DDPMMnist --data mnist:DIR --out runs/ddpm
netlang export runs/ddpm --entry sample -o sample.onnx
python examples/deploy/draw_digits.py sample.onnx digits.pgm
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

model, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(digits,) = session.run(None, {"n": np.array(64), "seed": np.array(0)})
sheet = digits.reshape(8, 8, *digits.shape[2:]).transpose(0, 2, 1, 3).reshape(8 * digits.shape[2], -1)
header = f"P5 {sheet.shape[1]} {sheet.shape[0]} 255\n"
Path(picture).write_bytes(header.encode() + (255 * sheet).astype(np.uint8).tobytes())
