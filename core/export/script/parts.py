"""The batch in parts, one graph after the other: what a script adds to compute with them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.export.script.model import Network
from core.spec.run import RunSpec

_ON_THE_BATCH = re.compile(
    r"\b(compute|products|product|gradient_beside|loss_at|judged|step|differentiated)\(([^()]*)\)"
)
"""Definitions and calls of functions that work on the batch."""

_PARTS = '''\
def parts():
    """Each part of the batch, its rows, and its share of the examples."""
    size, larger = divmod(len(x), PARTS)
    end = 0
    for i in range(PARTS):
        rows = slice(end, end + size + (i < larger))
        end = rows.stop
START        yield (GIVEN), rows, (rows.stop - rows.start) / len(x)


def added(total, found, share):
    """The total with the share of what a part has found."""
    return found * share if total is None else total.add_(found, alpha=share)'''

_SUM = '''\
def compute():
    """The loss and the result, part after part, added up by their shares of the examples."""
    value, found = None, [None] * len(parameters)
    for part, _, share in parts():
        total, result = compute_part(*part)
        value = added(value, total, share)
        found = [added(t, r, share) for t, r in zip(found, result)]
        del total, result  # not kept beside the next part's
    return value, found'''

_BY_ROWS = '''\
def compute():
    """The loss and the result, part after part, each in the rows of its examples."""
    value = found = None
    for part, rows, share in parts():
        total, (result,) = compute_part(*part)
        value = added(value, total, share)
        if found is None:
            found = torch.zeros_like(x)
        found[rows].add_(resultFACTOR)
        del total, result  # not kept beside the next part's
    return value, [found.detach()]'''


def are_parts(spec: RunSpec) -> bool:
    """Whether the batch is cut."""
    return spec.mitigation.accumulation > 1


def parts(spec: RunSpec, network: Network) -> str:
    """The source of ``parts()``."""
    inputs = "x.detach()[rows].requires_grad_()" if spec.workload.by_inputs else "x[rows]"
    given, start = f"{inputs}, y[rows]", ""
    if network.random:
        given += ", SEED + i"
        start = "        torch.manual_seed(SEED + i)  # random numbers of its own\n"
    return _PARTS.replace("GIVEN", given).replace("START", start)


def of_part(block: str, network: Network) -> str:
    """A block whose functions work on the examples that they are given; ``compute`` is then
    ``compute_part``."""
    examples = "x, y, seed" if network.random else "x, y"

    def given(found: re.Match[str]) -> str:
        name, arguments = found[1], found[2]
        name = "compute_part" if name == "compute" else name
        return f"{name}({arguments + ', ' if arguments else ''}{examples})"

    return _ON_THE_BATCH.sub(given, block).replace("manual_seed(SEED)", "manual_seed(seed)")


def in_parts(
    spec: RunSpec, network: Network, blocks: Iterator[str], *, share: bool = True
) -> Iterator[str]:
    """Definitions up to a ``compute`` that works on the whole batch, as one that adds up parts.

    Args:
        spec: a run without problems.
        network: what the script knows of it.
        blocks: the definitions.
        share: whether rows of their own are still to be multiplied by the part's share.
    """
    if not are_parts(spec):
        yield from blocks
        return
    yield parts(spec, network)
    for block in blocks:
        yield of_part(block, network)
    factor = ", alpha=share" if share else ""
    yield _BY_ROWS.replace("FACTOR", factor) if spec.workload.by_inputs else _SUM
