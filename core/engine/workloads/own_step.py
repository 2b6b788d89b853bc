"""A computation of the user's own: ``step(module, batch)`` of a Python file, as it stands there."""

from __future__ import annotations

import torch

from core.engine.computed import Computed
from core.engine.data import Batch
from core.engine.problem import Problem
from core.engine.recorder import Recorder
from core.engine.user_module import UserModule

STEP = "step"


def compute(problem: Problem, recorder: Recorder) -> Computed:
    """One step on the module and the batch; the result is the weights, which the next step changes.

    The loss is what the step returns, where that is a single number.
    """
    function, data = problem.stack, problem.data
    assert isinstance(function, UserModule)
    assert isinstance(data, Batch)
    with recorder.phase(STEP):
        recorder.born("activations")
        returned = function.step((data.x, data.y), recorder)
        weights = {name: weight.detach() for name, weight in problem.parameters.items()}
        recorder.result(tuple(weights.values()))
    if isinstance(returned, torch.Tensor) and returned.numel() == 1:
        return Computed(weights, returned.detach().reshape(()), ())
    number = float(returned) if isinstance(returned, int | float) else 0.0
    # Not beside what else was returned: that would count as the step's.
    del returned
    return Computed(weights, torch.tensor(number, dtype=torch.float64), ())
