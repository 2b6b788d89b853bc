"""Meta-gradients against those of TorchOpt (Ren et al. 2022)."""

import pytest
import torch
import torchopt
from torch.nn import functional

from core.engine.inner_loop import INNER_STEPS
from tests import oracles
from tests.peers.meta_problems import MODELS, RATE, STEPS, module_of, ours, problem, tasks_of


@pytest.mark.filterwarnings("ignore")  # of a package that torch has moved on from
@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("net", MODELS)
def test_that_meta_gradients_are_those_of_torchopt(net: str, inner_loop: str) -> None:
    made = problem(net, inner_loop)
    module = module_of(made, net)
    initial = list(module.parameters())
    sgd = torchopt.MetaSGD(module, lr=RATE)
    start = torchopt.extract_state_dict(module, by="reference")
    start_of_sgd = torchopt.extract_state_dict(sgd, by="reference")
    total, losses = [torch.zeros_like(weight) for weight in initial], []
    for support_x, support_y, query_x, query_y in tasks_of(made):
        for _ in range(STEPS):
            sgd.step(functional.mse_loss(module(support_x), support_y))
        loss = functional.mse_loss(module(query_x), query_y)
        for mean, gradient in zip(total, torch.autograd.grad(loss, initial), strict=True):
            mean += gradient / 2
        losses.append(loss.item())
        torchopt.recover_state_dict(module, start)
        torchopt.recover_state_dict(sgd, start_of_sgd)

    result, found = ours(made)

    assert oracles.relative_error(result, total) <= 1e-10
    assert found == pytest.approx(sum(losses) / 2, rel=1e-10)
