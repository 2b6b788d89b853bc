"""The examples: drawn as the engine draws them, by the same seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.export.script.digits import drawn_digits, packed
from core.export.script.own_model import OUTPUT
from core.export.script.source import quoted, sizes
from core.spec.data import ArraysData, DigitsData, SinusoidData, SyntheticData
from core.spec.declaration import Spec
from core.spec.layers import Shape
from core.spec.models import Model
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec


def data(spec: RunSpec) -> tuple[str, ...]:
    """The source of ``x`` and ``y``, or of the tasks' ``support_x`` to ``query_y``."""
    text = _KINDS[type(spec.data)](_Examples(spec))
    if spec.workload.examples == "tasks":
        return (*text, _SPLIT)
    if spec.workload.examples == "halves":
        return (*text, _HALVES)
    by_inputs = spec.workload.by_inputs
    return (*text[:-1], text[-1] + "\nx.requires_grad_()") if by_inputs else text


_SPLIT = """\
support_x, query_x = x[:, :SUPPORT].clone(), x[:, SUPPORT:].clone()
support_y, query_y = y[:, :SUPPORT].clone(), y[:, SUPPORT:].clone()
data = (support_x, support_y, query_x, query_y)"""


_HALVES = """\
train_x, validation_x = x[: len(x) // 2].clone(), x[len(x) // 2 :].clone()
train_y, validation_y = y[: len(y) // 2].clone(), y[len(y) // 2 :].clone()
data = (train_x, train_y, validation_x, validation_y)"""


class _Examples:
    """The shapes and types that the examples have to have."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.inputs: Shape = spec.model.input_shape
        self.by_class = spec.loss == "cross_entropy"
        self.classes, self.targets = _targets(spec.model, by_class=self.by_class)
        self.to_x = "DEVICE" if spec.model.takes_whole_numbers else "DEVICE, DTYPE"
        self.to_y = "DEVICE" if self.by_class else "DEVICE, DTYPE"
        self.tasks = spec.workload.examples == "tasks"
        halves = 1 + (spec.workload.examples == "halves")
        self.count = "SUPPORT + QUERY" if self.tasks else str(halves * spec.data.batch_size)

    def shape(self, sizes_of_one: Sequence[int | str]) -> str:
        """That of a batch, or of the examples of one task."""
        return ", ".join([self.count, *map(str, sizes_of_one)])

    def stacked(self, source: str) -> str:
        """Tasks drawn one after the other by ``examples()``, which returns tensors."""
        return (
            f"{source}\n\n\ntasks = [examples() for _ in range(TASKS)]\n"
            f"x = torch.stack([x for x, _ in tasks]).to({self.to_x})\n"
            f"y = torch.stack([y for _, y in tasks]).to({self.to_y})"
        )


def _targets(model: Model, *, by_class: bool) -> tuple[int | str, tuple[int | str, ...]]:
    """The number of classes, and the shape of one target; as the script calls them where it has to
    find the shape of an output out."""
    if isinstance(model, PythonModel):
        return f"{OUTPUT}[0]", (f"*{OUTPUT}[1:]" if by_class else f"*{OUTPUT}",)
    output = model.output_shape
    assert output is not None
    return (output[0], output[1:]) if by_class else (0, output)


def _synthetic(examples: _Examples) -> tuple[str, ...]:
    model = examples.spec.model
    seed = np.random.SeedSequence((examples.spec.measure.seed, 0)).generate_state(1)[0]
    generator = f"generator = torch.Generator().manual_seed({seed})"
    x = f"torch.randn({examples.shape(examples.inputs)}, generator=generator)"
    if model.takes_whole_numbers:
        shape = examples.shape(examples.inputs)
        x = f"torch.randint({model.vocabulary}, ({shape}), generator=generator)"
    y = f"torch.randn({examples.shape(examples.targets)}, generator=generator)"
    if examples.by_class:
        shape = examples.shape(examples.targets) + ("" if examples.targets else ",")
        y = f"torch.randint({examples.classes}, ({shape}), generator=generator)"
    if examples.tasks:
        source = (
            f'def examples():\n    """Those of one task, at random."""\n    x = {x}\n'
            f"    y = {y}\n    return x, y"
        )
        return generator, examples.stacked(source)
    return (f"{generator}\nx = {x}.to({examples.to_x})\ny = {y}.to({examples.to_y})",)


def _sinusoid(examples: _Examples) -> tuple[str, ...]:
    numbers = "numbers = np.random.default_rng((SEED, 0))"
    draw = (
        "amplitude, phase = numbers.uniform(0.1, 5.0), numbers.uniform(0.0, np.pi)",
        f"x = numbers.uniform(-5.0, 5.0, size=({examples.count}, 1))",
        "y = amplitude * np.sin(x - phase)",
    )
    if examples.tasks:
        body = "\n".join(f"    {line}" for line in draw)
        source = (
            'def examples():\n    """Those of one task: a sine curve of its own."""\n'
            f"{body}\n    return torch.from_numpy(x), torch.from_numpy(y)"
        )
        return numbers, examples.stacked(source)
    to = ".to(DEVICE, DTYPE)"
    last = f"x, y = torch.from_numpy(x){to}, torch.from_numpy(y){to}"
    return ("\n".join([numbers, *draw, last]),)


def _digits(examples: _Examples) -> tuple[str, ...]:
    images, labels = drawn_digits(examples.spec)
    pixels = f'DIGITS = """\n{packed(images)}\n"""  # 8 by 8 pixels of 0 to 16, compressed'
    decode = (
        'packed = base64.b85decode(DIGITS.replace("\\n", ""))\n'
        "pixels = np.frombuffer(zlib.decompress(packed), np.uint8) / np.float32(16)\n"
    )
    leading = "TASKS, SUPPORT + QUERY" if examples.tasks else "-1"
    x = f"x = torch.from_numpy(pixels).reshape({leading}, {sizes(examples.inputs)})"
    x += f".to({examples.to_x})\n"
    if examples.tasks:
        assert isinstance(examples.spec.data, DigitsData)
        ways = examples.spec.data.ways
        y = f"y = torch.arange({ways}).repeat(TASKS, (SUPPORT + QUERY) // {ways}).to(DEVICE)"
        return (pixels, decode + x + y)
    digits = "\n".join(_wrapped("".join(map(str, labels.tolist()))))
    y = 'y = torch.tensor([int(label) for label in LABELS.replace("\\n", "")]).to(DEVICE)'
    return (pixels, f'LABELS = """\n{digits}\n"""', decode + x + y)


def _wrapped(text: str, width: int = 96) -> list[str]:
    return [text[first : first + width] for first in range(0, len(text), width)]


def _arrays(examples: _Examples) -> tuple[str, ...]:
    assert isinstance(examples.spec.data, ArraysData)
    path = Path(examples.spec.data.file).expanduser().absolute()
    load = f"FILE = {quoted(str(path))}\n"
    if path.suffix.lower() == ".npz":
        load += 'with np.load(FILE) as arrays:\n    all_x, all_y = arrays["x"], arrays["y"]'
    else:
        inputs = math.prod(examples.inputs)
        load += f"{_TABLE}all_x, all_y = table[:, :{inputs}], table[:, {inputs}:]"
    to_x = "torch.int64" if examples.spec.model.takes_whole_numbers else "DTYPE"
    to_y = "torch.int64" if examples.by_class else "DTYPE"
    rows = "rows" if examples.tasks else f":{examples.count}"
    assign = (
        f"x = torch.from_numpy(all_x[{rows}].astype(np.float64)).to(DEVICE, {to_x})",
        f"y = torch.from_numpy(all_y[{rows}].astype(np.float64)).to(DEVICE, {to_y})",
    )
    shapes = [", ".join(map(str, (-1, *one))) for one in (examples.inputs, examples.targets)]
    if not examples.tasks:
        x, y = (
            f"{one[0]} = {one[0]}.reshape({shape})"
            for one, shape in zip(assign, shapes, strict=True)
        )
        return ("\n".join([load, *assign, x, y]),)
    body = "\n".join(f"    {line}" for line in assign)
    source = (
        'def examples():\n    """Those of one task: rows of the file."""\n'
        "    rows = numbers.permutation(len(all_x))[: SUPPORT + QUERY]\n"
        f"{body}\n    return x.reshape({shapes[0]}), y.reshape({shapes[1]})"
    )
    return load, "numbers = np.random.default_rng((SEED, 0))", examples.stacked(source)


_TABLE = """\
with open(FILE, newline="", encoding="utf-8-sig") as stream:
    rows = [row for row in csv.reader(stream) if row]
table = np.array(rows[1:], dtype=np.float64)
"""

_KINDS: dict[type[Spec], Callable[[Any], tuple[str, ...]]] = {
    SyntheticData: _synthetic,
    SinusoidData: _sinusoid,
    DigitsData: _digits,
    ArraysData: _arrays,
}
