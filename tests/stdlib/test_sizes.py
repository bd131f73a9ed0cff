"""Published numbers of parameters, exactly; and what it costs to count or compile the largest models."""

from __future__ import annotations

import resource
import time

import onnx
import pytest
from netlang.compiler.emit import emit

from .harness import library

PUBLISHED = {
    "LeNet5": ("lenet", 61_706),
    "ResNet18": ("resnet", 11_689_512),
    "ResNet50": ("resnet", 25_557_032),
    "GPT2": ("gpt", 124_439_808),
    "GPT2Medium": ("gpt", 354_823_168),
    "GPT2Large": ("gpt", 774_030_080),
    "GPT2XL": ("gpt", 1_557_611_200),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_has_the_published_number_of_parameters(model: str):
    module, parameters = PUBLISHED[model]
    assert library(f"std.models.{module}").network(model).parameter_count == parameters


def test_resnet20_has_the_parameters_of_the_paper_and_two_projections():
    """The paper's own ResNet-20 has 269,722: its skip connections have none (option A)."""
    projections = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert library("std.models.resnet").network("ResNet20").parameter_count == 269_722 + projections


def test_gpt3_is_counted_quickly_and_without_its_weights():
    """Which are 700 GB: the most that the process ever held, in kilobytes, grows by less than half of one."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert library("std.models.gpt").network("GPT3").parameter_count == 174_604_259_328
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19


def test_the_training_step_of_gpt2_compiles_quickly():
    network = library("std.models.gpt").network("GPT2")
    start = time.process_time()
    model = emit(network.train_graph())
    assert time.process_time() - start < 15
    onnx.checker.check_model(model, full_check=True)
