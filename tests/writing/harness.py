"""What the tests of writing share: writing a graph, compiling the text again, and comparing what both compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from netlang.compiler import Network, load_program
from netlang.compiler.elaborate.modules import Modules
from netlang.compiler.emit import emit
from netlang.compiler.initializers import materialise
from netlang.compiler.ir import Graph
from netlang.compiler.reading import read_model
from netlang.compiler.session import Session
from netlang.compiler.writing import Written, write_program
from netlang.runtime import loader
from netlang.source import Source
