"""A model of the user's own in the script: its file is loaded from where it lies."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from core.export.script.model import LOSSES, Network
from core.export.script.source import quoted, sizes
from core.export.script.written_out import definitions
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.spec.workloads import NestedGradient

OUTPUT = "OUTPUT"
"""What the script calls the shape of an output, which it finds out."""


def with_step_known(spec: RunSpec) -> tuple[RunSpec, bool]:
    """Whether the file defines a step, told from its text alone; the workload then gives way to
    one that draws a batch."""
    model = spec.model
    if not isinstance(model, PythonModel) or not _defines(model.path, "step"):
        return spec, False
    return spec.model_copy(update={"workload": NestedGradient(order=1)}), True


def own_network(spec: RunSpec, *, has_step: bool) -> Network:
    """The source of ``network``, ``parameters`` and ``loss(p, x, y)`` from the user's file.

    Args:
        spec: with a model of the user's own.
        has_step: whether the file's step takes the place of the workload.
    """
    model = spec.model
    assert isinstance(model, PythonModel)
    way = spec.workload.derivation
    rewritten = way.rewrites(spec.loss)
    blocks = [_LOAD, _FIRST_TENSOR, "\n".join(_module(spec, model))]
    blocks += definitions([spec.loss] if rewritten else [], running=False)
    criterion = spec.loss if rewritten else LOSSES[spec.loss]
    blocks.append(_WHOLE.replace("CRITERION", criterion))
    name = "plain_loss" if way.order > 1 else "loss"
    blocks.append(_LOSS.replace("NAME", name))
    if way.order > 1:
        blocks.append(_TWICE)
    return Network(
        blocks=tuple(blocks),
        loss="loss(parameters, x, y)",
        random=True,
        tracked=True,
        updates=True,
        replay="replayed(again) if random else again",
        reset=_RESET + (_RESET_STEP if has_step else "") + _SETTLED,
    )


def own_step() -> str:
    """The source of ``compute``."""
    return _STEP


def _module(spec: RunSpec, model: PythonModel) -> Iterator[str]:
    shape = sizes((2, *model.input_shape))
    trial = f"torch.ones({shape})"
    if model.vocabulary is not None:
        trial = f"torch.zeros({shape}, dtype=torch.int64)"
    yield f"MODEL_FILE = {quoted(str(model.path))}"
    yield "own = load(MODEL_FILE)"
    yield "torch.manual_seed(SEED)"
    yield f"trial = own.{model.callable}().float()"
    yield "torch.manual_seed(SEED)"
    yield f"network = own.{model.callable}()"
    yield f"inputs, state = {trial}, torch.get_rng_state()"
    yield "with torch.no_grad():"
    yield f"    {OUTPUT} = tuple(first_tensor(trial(inputs)).shape[1:])"
    yield "random = not torch.equal(state, torch.get_rng_state())"
    yield 'random = random or callable(getattr(own, "loss", None))'
    yield "before = dict(network.float().named_buffers())"
    yield "changing = [n for n, b in trial.named_buffers() if not torch.equal(b, before[n])]"
    yield "network.to(DEVICE, DTYPE)"
    yield "named = {n: w for n, w in network.named_parameters() if w.requires_grad}"
    if spec.workload.by_inputs:
        yield "network.requires_grad_(False)"
    yield "names, parameters = list(named), list(named.values())"
    yield "buffers = dict(network.named_buffers())"
    yield "frozen = [w for n, w in network.named_parameters() if n not in named]"
    yield "running = [*frozen, *buffers.values()]"
    yield "initial = {name: buffers[name].clone() for name in changing}"
    yield "starts = [w.detach().clone() for w in (*parameters, *running)]"


_LOAD = '''\
def load(file):
    """The user's file as a module, which may import its neighbours."""
    sys.path.append(os.path.dirname(file))
    found = importlib.util.spec_from_file_location("user_file", file)
    module = sys.modules["user_file"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module'''

_FIRST_TENSOR = '''\
def first_tensor(value):
    """The value, or the first tensor in it where the file's loss takes more than one."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return None
    return next((found for found in map(first_tensor, value) if found is not None), None)'''

_WHOLE = '''\
class Whole(nn.Module):
    """The network and its loss as one call, so that both see the same weights."""

    def __init__(self):
        super().__init__()
        self.module = network

    def forward(self, x, y):
        if callable(getattr(own, "loss", None)):
            return own.loss(self.module, (x, y))
        return CRITERION(self.module(x), y)


whole = Whole()'''

_LOSS = '''\
def tensors_of(p, update):
    """The weights p and the buffers by their names; copies of those that must not change."""
    tensors = {f"module.{name}": w for name, w in zip(names, p)}
    for name, b in buffers.items():
        tensors[f"module.{name}"] = b if update or name not in changing else b.clone()
    return tensors


def NAME(p, x, y, update=True):
    """The loss of a batch with the weights p."""
    if update and all(a is b for a, b in zip(p, parameters)):
        return whole(x, y)
    return functional_call(whole, tensors_of(p, update), (x, y))'''

_TWICE = '''\
def loss(p, x, y, update=True):
    """The same by torch's plain kernels: fused attention and oneDNN's LSTM have no second
    derivative."""
    enabled = torch._C._get_mkldnn_enabled()
    has_lstm = any(isinstance(module, nn.LSTM) for module in network.modules())
    torch._C._set_mkldnn_enabled(enabled and not has_lstm)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            return plain_loss(p, x, y, update)
    finally:
        torch._C._set_mkldnn_enabled(enabled)'''

_RESET = '''\
def reset():
    """Every repetition starts from the same state."""
    torch.manual_seed(SEED)
    with torch.no_grad():
        for name, start in initial.items():
            buffers[name].copy_(start)
            owner, _, last = name.rpartition(".")
            setattr(network.get_submodule(owner), last, buffers[name])'''

_RESET_STEP = """
        for tensor, start in zip((*parameters, *running), starts):
            tensor.copy_(start)
            tensor.grad = None"""

_SETTLED = """


reset()
compute()  # once, so that what the file keeps for good is there
reset()"""

_STEP = '''\
def compute():
    """The file's own step; the result is the weights, which `reset` puts back."""
    own.step(network, (x, y))
    return None, [w.detach() for w in parameters]'''


def _defines(path: Path, name: str) -> bool:
    """Whether a file binds a name at its top level."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    return name in {bound for statement in body for bound in _bound(statement)}


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
