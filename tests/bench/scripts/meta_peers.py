"""One meta-gradient of MAML, as users of other packages write it. Nothing of HoGUI.

Each function takes the name of a size and returns two others: the seconds of one computation, and
the peak of its memory above what lives before.
"""

import gc
import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile
from torch.nn import functional

Measured = tuple[Callable[[], float], Callable[[], int]]


class Size(NamedTuple):
    """Layers of a network as its widths, examples of both sets, inner steps and their rate."""

    widths: tuple[int, ...]
    activation: type[nn.Module]
    examples: int
    steps: int = 5
    rate: float = 0.01


SIZES = {
    "large": Size((64,) * 10, nn.Tanh, 1024),
    "small": Size((1, 40, 40, 1), nn.ReLU, 10),
}


def network(size: Size) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(size.widths):
        layers += [nn.Linear(before, after), size.activation()]
    return nn.Sequential(*layers[:-1])


def task(size: Size) -> tuple[Tensor, ...]:
    ends = (size.widths[0], size.widths[-1])
    return tuple(torch.randn(size.examples, width) for _ in range(2) for width in ends)


def by_higher(name: str) -> Measured:
    """higher (Grefenstette et al. 2019)."""
    import higher

    size = SIZES[name]
    net = network(size)
    support_x, support_y, query_x, query_y = task(size)
    sgd = torch.optim.SGD(net.parameters(), lr=size.rate)

    def compute() -> object:
        with higher.innerloop_ctx(net, sgd, copy_initial_weights=False) as (adapted, inner):
            for _ in range(size.steps):
                inner.step(functional.mse_loss(adapted(support_x), support_y))
            loss = functional.mse_loss(adapted(query_x), query_y)
            return torch.autograd.grad(loss, list(net.parameters()))

    return measured(compute)


def by_torchopt(name: str) -> Measured:
    """TorchOpt (Ren et al. 2022)."""
    import torchopt

    size = SIZES[name]
    net = network(size)
    support_x, support_y, query_x, query_y = task(size)
    initial = list(net.parameters())
    sgd = torchopt.MetaSGD(net, lr=size.rate)
    start = torchopt.extract_state_dict(net, by="reference")
    start_of_sgd = torchopt.extract_state_dict(sgd, by="reference")

    def compute() -> object:
        for _ in range(size.steps):
            sgd.step(functional.mse_loss(net(support_x), support_y))
        loss = functional.mse_loss(net(query_x), query_y)
        gradients = torch.autograd.grad(loss, initial)
        torchopt.recover_state_dict(net, start)
        torchopt.recover_state_dict(sgd, start_of_sgd)
        return gradients

    return measured(compute)


def by_vmap(name: str, tasks: int = 16) -> Measured:
    """torch.func: all tasks at once."""
    from torch.func import functional_call, grad, vmap  # noqa: TID251

    size = SIZES[name]
    net = network(size)
    weights = {key: weight.detach() for key, weight in net.named_parameters()}
    sets = [torch.stack(parts) for parts in zip(*(task(size) for _ in range(tasks)), strict=True)]

    def loss(fast: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.mse_loss(functional_call(net, fast, (x,)), y)

    def query_loss(fast: dict[str, Tensor], *parts: Tensor) -> Tensor:
        for _ in range(size.steps):
            slopes = grad(loss)(fast, *parts[:2])
            fast = {key: weight - size.rate * slopes[key] for key, weight in fast.items()}
        return loss(fast, *parts[2:])

    def mean_loss(fast: dict[str, Tensor]) -> Tensor:
        losses: Tensor = vmap(query_loss, in_dims=(None, 0, 0, 0, 0))(fast, *sets)
        return losses.mean()

    return measured(lambda: grad(mean_loss)(weights))


def measured(compute: Callable[[], object]) -> Measured:
    """The seconds of a computation and the peak of its memory, each by a call."""
    torch.set_num_threads(1)

    def seconds() -> float:
        gc.disable()
        start = time.perf_counter()
        result = compute()
        elapsed = time.perf_counter() - start
        gc.enable()
        del result
        return elapsed

    def peak_on_cpu() -> int:
        compute()
        gc.collect()
        with profile(profile_memory=True) as profiler:
            compute()
        assert profiler.kineto_results is not None
        events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
        events.sort(key=lambda event: event.start_ns())
        return max(itertools.accumulate((event.nbytes() for event in events), initial=0))

    return seconds, peak_on_cpu
