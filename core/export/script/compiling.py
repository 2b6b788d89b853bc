"""The computation traced once and compiled, in place of ``compute``."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.layers import RUNNING
from core.export.script.model import Network
from core.spec.run import RunSpec
from core.spec.workloads import Maml


def compiling(spec: RunSpec, network: Network) -> Iterator[str]:
    """The source that compiles ``compute`` and takes its place; nothing where that is not asked
    for."""
    if not spec.mitigation.compile:
        return
    several = isinstance(spec.workload, Maml) and spec.workload.tasks > 1
    state = ["*parameters", *([f"*{RUNNING}"] if network.tracked else [])]
    if spec.workload.owns:
        state.append(f"*{spec.workload.owns}")
    if not several:
        state.append("x, y" if spec.workload.examples == "batch" else "*data")
    yield _TRACED.replace("STATE", ", ".join(state))
    yield _PROGRAM.replace("SETTINGS", _settings(spec))
    apart = network.random or network.tracked
    yield (_TASKS if several else _ONCE).replace("SMALL", "False" if apart else "is_small(graph)")
    yield _IN_PLACE


def _settings(spec: RunSpec) -> str:
    kind = spec.device.partition(":")[0]
    wrapped = {"cpu": "True", "auto": 'DEVICE.type == "cpu"'}.get(kind, "False")
    return f'{{"cpp_wrapper": {wrapped}, "fx_graph_cache": False, "compile_threads": 1}}'


_TRACED = '''\
def scaled_first(total):
    """A sum with a factor: inductor of torch 2.13 forgets it beside a product of matrices."""

    def added(left, right, *, alpha=1):
        return NotImplemented if alpha == 1 else total(left, right * alpha)

    return added


def product_added(total, left, right, *, value=1):
    """addcmul_, for which vmap has no rule: it takes task after task, and warns."""
    return total.add_(left * right * value)


def traced(function, *arguments):
    """All that a function does, backward passes included, as a graph.

    What it reads of the state becomes an argument too. As a constant the compiler would compute
    with it beforehand.
    """
    aten = torch.ops.aten
    sums = [aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.sub_.Tensor]
    simpler = {total: scaled_first(total) for total in sums}
    simpler[aten.addcmul_.default] = product_added
    graph = make_fx(function, simpler)(*arguments)
    nodes = list(graph.graph.nodes)
    with graph.graph.inserting_before(nodes[len(arguments)]):
        places = {id(t): graph.graph.placeholder(f"state_{i}") for i, t in enumerate(state)}
    for node in nodes:
        if node.op == "get_attr":
            node.replace_all_uses_with(places[id(getattr(graph, node.target))])
            graph.graph.erase_node(node)
    graph.recompile()
    return make_fx(graph, tracing_mode="fake")(*arguments, *(t.detach() for t in state))


state = [STATE]'''

_PROGRAM = '''\
def program(graph, inputs):
    """The graph in machine code, made afresh."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        config.patch(SETTINGS),
        torch.no_grad(),
    ):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        function = compile_fx(graph, inputs)
        function(*inputs)
        return function


start = time.perf_counter()'''

_ONCE = '''\
def flat():
    """The loss and the result in a row."""
    value, result = compute()
    return [value, *result]


inputs = [t.detach() for t in state]
function = program(traced(flat), inputs)


def call():
    """The loss and the result, by the compiled program."""
    with torch.no_grad():
        value, *result = function(*inputs)
    return value, result'''

_TASKS = '''\
def flat(*task):
    """The loss of a task and its part of the mean, in a row."""
    value, gradients = task_gradient(*task)
    pairs = zip(parameters, gradients)
    return [value, *(torch.zeros_like(p) if g is None else g for p, g in pairs)]


def is_small(graph):
    """Whether calling operations takes longer than what they do."""
    found = [node.meta.get("val") for node in graph.graph.nodes if node.op == "call_function"]
    sizes = [value.nbytes for value in found if isinstance(value, torch.Tensor)]
    return sum(sizes) <= 16 * 1024 * len(sizes)


def together(*tensors):
    """The mean loss and the sum of all parts, computed at once."""
    tasks, shared = tensors[: len(data)], tensors[len(data) :]
    values, *parts = torch.vmap(lambda *task: tuple(graph(*task, *shared)))(*tasks)
    return [values.mean(), *(part.sum(0) for part in parts)]


shared = [t.detach() for t in state]
calls = [[*task, *shared] for task in zip(*data)]
graph = traced(flat, *calls[0][: len(data)])
if SMALL:
    calls = [[*data, *shared]]
    graph = make_fx(together, tracing_mode="fake")(*calls[0])
function = program(graph, calls[0])


def call():
    """The mean loss and the result, by the compiled program."""
    with torch.no_grad():
        values, sums = [], [torch.zeros_like(p) for p in parameters]
        for inputs in calls:
            value, *parts = function(*inputs)
            values.append(value)
            torch._foreach_add_(sums, parts)
        return torch.stack(values).mean(), sums'''

_IN_PLACE = """\
compute, compile_s = call, time.perf_counter() - start"""
