"""Everything that another program needs to repeat a computation, as one .npz."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from core.engine.computed import Computed
from core.engine.own_tensors import probes_by_name
from core.engine.problem import Problem
from core.engine.recorder import SILENT
from core.engine.workloads import compute


def save_tensors(file: Path, problem: Problem, computed: Computed) -> None:
    """Writes ``parameters/NAME``, ``buffers/NAME``, ``data/NAME`` and ``result/NAME`` arrays.

    NAME is the parameter's name in the built ``nn.Module``; buffers are those of the initial state.
    Random vectors and probes are data too, their number the first axis.
    The file appears whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    problem.reset()
    result = computed.result
    if problem.spec.is_own_step:
        # It is the weights themselves, which are at their start again.
        stepped = compute(problem, SILENT).result
        result = {name: weight.clone() for name, weight in stepped.items()}
        problem.reset()
    probes = probes_by_name(problem.spec, problem.parameters)
    groups = {
        "parameters": problem.parameters,
        "buffers": problem.buffers,
        "data": problem.data._asdict() | problem.own | probes,
        "result": result,
    }
    arrays = {
        f"{group}/{name}": _array(tensor)
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    }
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def _array(tensor: torch.Tensor) -> np.ndarray:
    dense = tensor.detach()
    if dense.is_sparse:
        dense = dense.to_dense()
    if dense.dtype == torch.bfloat16:
        dense = dense.float()  # the same numbers; numpy has no such format
    return dense.cpu().numpy()
