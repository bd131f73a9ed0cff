"""Tells what each paper is about from its words and its citations, by a trained GCN; the graph may be any.

netlang train std:GCN --data planetoid:cora --epochs 200 --out runs/gcn
netlang export runs/gcn -o gcn.onnx
python examples/deploy/label_nodes.py gcn.onnx cora/cora.npz
"""

import sys

import numpy as np
import onnxruntime

model, file = sys.argv[1:]
graph = np.load(file)
x = np.zeros(graph["shape"], np.float32)
x[graph["x_row"], graph["x_col"]] = 1
x /= np.maximum(x.sum(1, keepdims=True), 1)
edges = np.concatenate([graph["edges"], graph["edges"][:, ::-1]]).astype(np.int64)
edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0).T
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"x": x, "edges": edges})
label = logits.argmax(1)
for node in graph["test"]:
    print(node, label[node])
print(f"{(label == graph['y'])[graph['test']].mean():.1%} of {len(graph['test'])} are right", file=sys.stderr)
