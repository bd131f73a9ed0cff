"""What a run was: which network, on what, and how. Its directory keeps it as `config.json`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlang.diagnostics import fail
from netlang.source import Source

from ..compiler import Network
from .data import DataOptions
from .files import read_text
from .records import from_json
from .versions import versions

CONFIG_LIMIT = 100_000_000
"""Largest `config.json` in bytes."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What `config.json` holds. Fields about data and plan are None where arrays were fed by hand.

    file: the source named by the user. model, settings: the network, defaults included. digest: of the two and of all
    sources. sources: where the copy of each is. rows: of each split. weights: the file that the training began with.
    frozen: patterns of parameters that are not trained.
    """

    file: str
    model: str
    settings: dict[str, Any]
    digest: str
    sources: dict[str, str]
    seed: int
    device: str = "cpu"
    threads: int | None = None
    steps: int | None = None
    batch: int | None = None
    log_every: int | None = None
    evaluate_every: int | None = None
    data: str | None = None
    data_options: DataOptions = field(default_factory=DataOptions)
    rows: dict[str, int] = field(default_factory=dict)
    weights: str | None = None
    frozen: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=versions)
    format: int = _FORMAT

    @classmethod
    def of(cls, network: Network, **how: Any) -> RunConfig:
        """The configuration of a run that trains this network."""
        sources = all_sources(network)
        files = {name: f"{i:02}-{Path(name).name.removesuffix('.net')}.net" for i, name in enumerate(sources)}
        digest = network_digest(network)
        frozen = list(network.blueprint.frozen)
        return cls(network.source.name, network.name, dict(network.settings), digest, files, frozen=frozen, **how)

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """The configuration in a file. Raises DiagnosticError (`bad-run`, `unreadable-file`)."""
        try:
            values = json.loads(read_text(path, CONFIG_LIMIT, "configuration"))
            if isinstance(values, dict) and values.get("format", _FORMAT) != _FORMAT:
                raise fail("bad-run", f"`{path.parent}` is a run of another version of netlang")
            config = from_json(cls, values)
            _check(config)
        except (ValueError, RecursionError) as error:
            raise fail("bad-run", f"`{path}` is damaged: {str(error).splitlines()[0]}") from None
        return config


def _check(config: RunConfig) -> None:
    """Raises ValueError where a field cannot be what it is."""
    for name in ("steps", "batch", "log_every", "evaluate_every"):
        number = getattr(config, name)
        if number is not None and number < 1:
            raise ValueError(f"`{name}` cannot be {number}")
    for file in config.sources.values():
        if Path(file).name != file:  # a run that somebody else made shows no files but its own
            raise ValueError(f"a copy of a source cannot be at `{file}`")


def network_digest(network: Network) -> str:
    """A hash of what makes a network: its sources, which model of them, and its settings."""
    content = {
        "model": network.name,
        "settings": dict(network.settings),
        "sources": {name: source.text for name, source in all_sources(network).items()},
        **({"frozen": network.blueprint.frozen} if network.blueprint.frozen else {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def all_sources(network: Network) -> dict[str, Source]:
    """Every file that a network is made of; all its graphs have been elaborated, so that all are known."""
    _ = network.variables  # elaborates every entry and the training step
    if network.trains:
        network.eval_graph()
    return dict(sorted(network.program.sources.items()))
