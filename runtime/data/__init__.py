"""Data sets: what a user names on the command line, as tables of rows, and what their numbers stand for."""

from .matching import match
from .numpy_files import array_dataset
from .sources import DataOptions, open_data
from .table import ArrayTable, Dataset, Field, Table, TrainingFeed, batches
from .vocabulary import Vocabulary

__all__ = [
    "ArrayTable",
    "DataOptions",
    "Dataset",
    "Field",
    "Table",
    "TrainingFeed",
    "Vocabulary",
    "array_dataset",
    "batches",
    "match",
    "open_data",
]
