"""Inner steps of which gradients keep less than a graph for each, as ``inner_loop`` says."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.model import Network
from core.export.script.source import INDENT
from core.spec.inner_segments import inner_segments, is_cut, keeps_weights, walked_twice
from core.spec.run import RunSpec


def constants(spec: RunSpec) -> Iterator[str]:
    """How the inner steps are cut into runs, where they are."""
    if is_cut(spec):
        yield f"RUNS = {list(walked_twice(spec))}"


def definitions(spec: RunSpec, network: Network) -> Iterator[str]:
    """``step``, and where steps are cut into runs ``walk``."""
    kind = spec.mitigation.inner_loop
    if kind == "checkpoint":
        yield _descend(network)
        yield _checkpointed_step(network)
    elif kind == "saved_gradient":
        yield _gradient(network)
        yield _saved_gradient_step(network, nested=False)
    elif kind == "segments":
        yield _descend(network)
        yield _walk(
            network, f"descend(weights, x, y, create_graph=True{_updates(network, 'False')})"
        )
    else:
        yield _gradient(network)
        yield _saved_gradient_step(network, nested=True)
        yield _descend_along_gradient(network)
        yield _walk(network, f"step(weights, x, y{_updates(network, 'False')})")


def loop(spec: RunSpec, x: str, y: str) -> list[str]:
    """The inner steps, from ``weights`` to ``weights``."""
    if not is_cut(spec):
        return [
            f"{INDENT}for _ in range(INNER_STEPS):",
            f"{INDENT * 2}weights = step(weights, {x}, {y})",
        ]
    lines = [
        f"{INDENT}for steps in RUNS:",
        f"{INDENT * 2}weights = walk(weights, {x}, {y}, steps)",
    ]
    if keeps_weights(spec):
        last = inner_segments(spec)[-1]
        lines += [
            f"{INDENT}for _ in range({last}):  # the last run is not walked again",
            f"{INDENT * 2}weights = step(weights, {x}, {y})",
        ]
    return lines


def _updates(network: Network, value: str) -> str:
    """The argument that says whether running statistics are updated, where there are any."""
    return f", update={value}" if network.updates else ""


def _loss(network: Network) -> str:
    name = "head_loss" if network.head else "loss"
    return f"{name}(weights, x, y{_updates(network, 'update')})"


def _parameter(network: Network) -> str:
    return ", update" if network.updates else ""


def _whose(network: Network) -> str:
    return "The head's weights" if network.head else "The weights"


def _kept(network: Network) -> str:
    return "the weights and the features" if network.head else "the weights"


def _descend(network: Network) -> str:
    on = " on features x" if network.head else ""
    return f'''\
def descend(weights, x, y, create_graph{_parameter(network)}):
    """{_whose(network)} after one step of gradient descent{on}."""
    total = [{_loss(network)}]
    gradients = torch.autograd.grad(total, weights, create_graph=create_graph)
    del total
    return [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]'''


def _gradient(network: Network) -> str:
    on = " on features x" if network.head else ""
    return f'''\
def inner_gradient(weights, x, y, create_graph{_parameter(network)}):
    """The gradient of the loss{on}."""
    total = [{_loss(network)}]
    return torch.autograd.grad(total, weights, create_graph=create_graph)'''


def _descend_along_gradient(network: Network) -> str:
    given = f"weights, x, y, create_graph=False{_updates(network, 'True')}"
    return f'''\
def descend(weights, x, y):
    """{_whose(network)} after one step of gradient descent, without a graph of the gradient."""
    gradients = inner_gradient({given})
    return [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]'''


def _checkpointed_step(network: Network) -> str:
    first = f"descend(weights, x, y, create_graph=False{_updates(network, 'True')})"
    again = f"descend(weights, x, y, create_graph=True{_updates(network, 'False')})"
    return f'''\
def step(weights, x, y):
    """The same, of which gradients of every order keep {_kept(network)} alone."""

{_functions(network, f"return {first}", f"return {again}")}

    return {_node(network)}'''


def _saved_gradient_step(network: Network, *, nested: bool) -> str:
    update = "update" if nested else "True"
    first = f"inner_gradient(weights, x, y, create_graph=False{_updates(network, update)})"
    again = f"inner_gradient(weights, x, y, create_graph=True{_updates(network, 'False')})"
    parameter = _updates(network, "True") if nested else ""
    return f'''\
def step(weights, x, y{parameter}):
    """{_whose(network)} after one step of gradient descent.

    Its gradient is a node that keeps {_kept(network)} alone, at every order: the gradient by way
    of it is one Hessian-vector product.
    """

{_functions(network, f"return {first}", f"return {again}")}

    gradients = {_node(network)}
    return [torch.add(w, g, alpha=-INNER_RATE) for w, g in zip(weights, gradients)]'''


def _walk(network: Network, step: str) -> str:
    given = "weights, x, y"
    fleeting = f"descend({given})" if step.startswith("step") else (
        f"descend({given}, create_graph=False{_updates(network, 'True')})"
    )  # fmt: skip

    def steps(one: str) -> str:
        return f"for _ in range(steps):\n            weights = {one}\n        return weights"

    return f'''\
def walk(weights, x, y, steps):
    """{_whose(network)} after a run of steps.

    Gradients of every order keep {_kept(network)} before it alone: the run is walked without
    graphs, and once more when it is differentiated.
    """

{_functions(network, steps(fleeting), steps(step))}

    return {_node(network)}'''


def _functions(network: Network, first: str, again: str) -> str:
    """Two functions of the tensors that are kept."""
    given, opening = "*weights", ""
    if network.head:
        given, opening = "*tensors", "        *weights, x = tensors\n"
    return (
        f"    def first({given}):\n{opening}        {first}\n\n"
        f"    def again({given}):\n{opening}        {again}"
    )


def _node(network: Network) -> str:
    replayed = network.replay if network.random else "again"
    if network.head:
        replayed = "replayed(again)" if network.head_random else "again"
        return f"rematerialize(first, *weights, x, again={replayed})"
    return f"rematerialize(first, *weights, again={replayed})"
