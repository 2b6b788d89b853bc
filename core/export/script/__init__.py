"""A run as a standalone PyTorch script: the same computation, to read, to change and to distrust.

The script needs torch (and numpy, where the data do) and nothing of this program. It draws the same
weights and examples, computes the same derivative in the same order of operations, and prints its
time and its peak memory as JSON. The text is made here without torch.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from core.export.script.compiling import compiling
from core.export.script.data import data
from core.export.script.header import constants, docstring, imports
from core.export.script.measuring import measuring
from core.export.script.model import network
from core.export.script.own_model import own_network, own_step, with_step_known
from core.export.script.precision import cast
from core.export.script.rematerialize import REMATERIALIZE, REPLAYED, REPLAYED_ON_CPU
from core.export.script.workloads import workload
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec

_DEFINITION = re.compile(r"((def|class|if) |@)")


def script(spec: RunSpec) -> str:
    """The source of a script that does what a run of this spec would.

    Its ``compute()`` returns the loss and the result, a list in the order of the module's
    parameters; its ``main`` part prints ``median_s``, ``samples_s``, ``peak_bytes``,
    ``baseline_bytes`` and ``result_norm``.

    Args:
        spec: a run without problems.

    Raises:
        core.spec.arrays_file.UnreadableArrays: the user's file changed since it was checked.
    """
    spec, has_step = with_step_known(spec.as_computed())
    about = None
    if isinstance(spec.model, PythonModel):
        stack = own_network(spec, has_step=has_step)
        # The examples need the shape of its output.
        body = [*stack.blocks, *data(spec)]
        about = "a step of one's own" if has_step else None
    else:
        stack = network(spec)
        body = [*data(spec), *stack.blocks]
    body += [own_step()] if has_step else workload(spec, stack)
    body = body if has_step else [cast(spec, block) for block in body]
    body += [*compiling(spec, stack), *measuring(spec, stack)]
    tools = _tools(spec, "\n".join(body))
    text = _joined([constants(spec), *tools, *body])
    return f"{docstring(spec, about)}\n\n{imports(text)}\n\n{text}\n"


def _tools(spec: RunSpec, body: str) -> Iterator[str]:
    """The functions that the rest calls."""
    if re.search(r"\brematerialize\(", body):
        yield REMATERIALIZE[spec.workload.derivation.tangents]
    if re.search(r"\breplayed\(", body):
        yield REPLAYED_ON_CPU if spec.device == "cpu" else REPLAYED


def _joined(blocks: list[str]) -> str:
    """The blocks, two empty lines beside definitions and one between the others."""
    text = blocks[0]
    for before, block in itertools.pairwise(blocks):
        apart = _DEFINITION.match(block) or _DEFINITION.match(_last_statement(before))
        text += ("\n\n\n" if apart else "\n\n") + block
    return text


def _last_statement(block: str) -> str:
    return [line for line in block.splitlines() if line and not line.startswith((" ", ")"))][-1]
