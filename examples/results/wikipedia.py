"""The articles of a dump of Wikipedia."""

from __future__ import annotations

from pathlib import Path


def articles(folder: Path) -> list[list[str]]:
    """The words of each article of the dump `*.xml.bz2` in a folder, as gensim reads them."""
    from gensim.corpora import WikiCorpus

    dump = next(folder.glob("*.xml.bz2"))
    return list(WikiCorpus(str(dump), dictionary={}, processes=1).get_texts())
