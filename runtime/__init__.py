"""The runtime: files, devices, data, training and the command line: everything that does input and output."""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""From version 1.29 on ONNX Runtime reports on its sessions over the network, and complains where it cannot keep an
identifier in the home directory. It looks here when it is first imported; `0` lets it."""
