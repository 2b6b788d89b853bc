"""Meta-gradients against those of higher (Grefenstette et al. 2019)."""

import higher
import pytest
import torch
from torch.nn import functional

from core.engine.inner_loop import INNER_STEPS
from tests import oracles
from tests.peers.meta_problems import MODELS, RATE, STEPS, module_of, ours, problem, tasks_of


@pytest.mark.filterwarnings("ignore")  # of a package that is no longer kept up
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("inner_loop", INNER_STEPS)
@pytest.mark.parametrize("net", MODELS)
def test_that_meta_gradients_are_those_of_higher(net: str, inner_loop: str, order: int) -> None:
    made = problem(net, inner_loop, order)
    module = module_of(made, net)
    sgd = torch.optim.SGD(module.parameters(), lr=RATE)
    total, losses = [torch.zeros_like(weight) for weight in module.parameters()], []
    for support_x, support_y, query_x, query_y in tasks_of(made):
        with higher.innerloop_ctx(
            module, sgd, copy_initial_weights=False, track_higher_grads=order == 2
        ) as (adapted, inner):
            for _ in range(STEPS):
                inner.step(functional.mse_loss(adapted(support_x), support_y))
            loss = functional.mse_loss(adapted(query_x), query_y)
            wrt = module.parameters() if order == 2 else adapted.parameters()
            for mean, gradient in zip(total, torch.autograd.grad(loss, list(wrt)), strict=True):
                mean += gradient / 2
            losses.append(loss.item())

    result, found = ours(made)

    assert oracles.relative_error(result, total) <= 1e-10
    assert found == pytest.approx(sum(losses) / 2, rel=1e-10)
