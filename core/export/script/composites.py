"""The calls of layers one after the other, and functions for those that are made of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from core.export.script.layers import Applied, Surroundings, applied, is_tracked
from core.export.script.sequences import ALL_WEIGHTS
from core.export.script.source import INDENT, call, stretches
from core.spec.derivation import Derivation
from core.spec.layers import LayerRow, LayerSpec, Mixed, Residual, leaves
from core.spec.model import StackModel

_STATISTICS = 3
"""Running mean, variance and count of a batch norm."""

_RESIDUAL = '''\
class Residual(nn.Sequential):
    """The input plus what the layers, one after the other, make of it."""

    def forward(self, x):
        output = x
        for layer in self:
            output = layer(output)
        return x + output'''

_MIXED = '''\
class Mixed(nn.Sequential):
    """All candidates of the same input, weighed by the softmax of alpha."""

    def __init__(self, *candidates):
        super().__init__(*candidates)
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(candidates)))

    def forward(self, x):
        first, *others = zip(torch.softmax(self.alpha, 0).unbind(), self)
        total = first[0] * first[1](x)
        for share, candidate in others:
            total = total + share * candidate(x)
        return total'''

_CLASSES: dict[type[LayerSpec], str] = {Residual: _RESIDUAL, Mixed: _MIXED}


def classes(model: StackModel) -> Iterator[str]:
    """The modules that the script has to define."""
    used = {type(row.layer) for _, row in model.outline()}
    return (text for kind, text in _CLASSES.items() if kind in used)


class Functions:
    """The calls of a model's layers.

    Attributes:
        calls: one for each layer of the stack.
        definitions: the functions that they call beside torch's, inner ones first.
    """

    def __init__(self, model: StackModel, way: Derivation, updates: bool) -> None:
        """Writes them.

        Args:
            model: a stack without problems.
            way: how the output is differentiated.
            updates: whether a variable ``update`` says if running statistics are updated.
        """
        self._way, self._updates = way, updates
        self._running = 0
        self._names: dict[str, str] = {}
        self.definitions: list[str] = []
        self.calls = self._all(model.trace())

    def _all(self, rows: Iterable[LayerRow]) -> list[Applied]:
        return [self._one(row) for row in rows]

    def _one(self, row: LayerRow) -> Applied:
        shape = row.input_shape or ()
        if row.layer.parts:
            return self._composed(row.layer, self._all(row.layer.rows(shape)))
        around = Surroundings(shape, self._way, self._running, self._updates)
        self._running += _STATISTICS * is_tracked(row.layer)
        return applied(row.layer, around)

    def _composed(self, layer: LayerSpec, parts: Sequence[Applied]) -> Applied:
        """The call of a function that is defined for the layer; equal layers share it."""
        own = isinstance(layer, Mixed)
        lines = self._mixed(parts) if own else _sum(parts)
        updates = self._updates and any(map(is_tracked, leaves([layer])))
        head = "(x, *p, update=True):" if updates else "(x, *p):"
        text = "\n".join([head, *lines])
        if text not in self._names:
            count = sum(name.startswith(layer.kind) for name in self._names.values())
            self._names[text] = f"{layer.kind}_{count + 1}"
            self.definitions.append(f"def {self._names[text]}{text}")
        weights = own + sum(part.weights for part in parts)
        arguments = ["x", *(f"{{{position}}}" for position in range(weights))]
        arguments += ["update=update"] if updates else []
        return Applied(self._names[text], tuple(arguments), weights)

    def _mixed(self, parts: Sequence[Applied]) -> list[str]:
        softmax = "softmax" if self._way.rewrites("softmax") else "F.softmax"
        lines, weight = [f"{INDENT}shares = {softmax}(p[0], 0).unbind()"], 1
        for number, part in enumerate(parts):
            before = "total = " if number == 0 else "total = total + "
            own = [f"p[{weight + i}]" for i in range(part.weights)]
            weight += part.weights
            lines += _call(part, f"{before}shares[{number}] * ", own, 1)
        return [*lines, f"{INDENT}return total"]


def _sum(parts: Sequence[Applied]) -> list[str]:
    return [f"{INDENT}start = x", *layer_lines(parts, 1), f"{INDENT}return start + x"]


def layer_lines(functions: Sequence[Applied], depth: int) -> list[str]:
    """The layers one after the other, on the weights from ``p[0]`` on."""
    lines, weight = [], 0
    for stretch in stretches(functions):
        own = sum(function.weights for function in stretch.block)
        if stretch.times == 1:
            lines += _block(stretch.block, [f"p[{weight + i}]" for i in range(own)], depth)
        else:
            lines.append(INDENT * depth + loop(weight, own, stretch.times))
            names = ["p[i]", *(f"p[i + {i}]" for i in range(1, own))]
            block = _block(stretch.block, names, depth + 1)
            lines += block or [f"{INDENT * (depth + 1)}pass"]
        weight += own * stretch.times
    return lines


def loop(first: int, own: int, times: int) -> str:
    """The head of a loop over layers with ``own`` weights each, from the ``first`` weight on."""
    if not own:
        return f"for _ in range({times}):"
    bounds = f"{first}, {first + own * times}"
    if own == 1:
        return f"for i in range({bounds}):" if first else f"for i in range({times}):"
    return f"for i in range({bounds}, {own}):"


def _block(functions: Sequence[Applied], weights: Sequence[str], depth: int) -> list[str]:
    lines, taken = [], 0
    for function in functions:
        own = weights[taken : taken + function.weights]
        taken += function.weights
        if function.function:
            lines += _call(function, "x = ", own, depth)
    return lines


def _call(function: Applied, before: str, own: Sequence[str], depth: int) -> list[str]:
    """A statement that ends in a layer's call, or in ``x`` for a layer that does nothing."""
    lines = [f"{INDENT * depth}{line}" for line in function.before]
    if not function.function:
        return [*lines, f"{INDENT * depth}{before}x"]
    arguments = [
        _slice(own) if argument == ALL_WEIGHTS else argument.format(*own)
        for argument in function.arguments
    ]
    return [*lines, *call(before, function.function, arguments, depth)]


def _slice(weights: Sequence[str]) -> str:
    """Neighbours such as ``p[i + 2]`` and ``p[i + 3]`` as one argument: ``*p[i + 2 : i + 4]``."""
    first, last = (weight.partition("[")[2].rstrip("]") for weight in (weights[0], weights[-1]))
    before, _, position = last.rpartition(" ")
    end = f"{before} {int(position) + 1}".strip()
    return f"*p[{first} : {end}]" if before else f"*p[{first}:{end}]"
