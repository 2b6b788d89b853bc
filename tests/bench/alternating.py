"""Two programs timed in turn, each in a process of its own that stays warm."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_SCRIPT = """
import runpy, sys
names = runpy.run_path(sys.argv[1])
seconds, peak = names["seconds"], names["peak_on_cpu"]
"""
_NUMBERS = """
import torch
with torch.no_grad():
    for own, given in zip(names["numbers"], torch.load(sys.argv[2]), strict=True):
        own.copy_(given)
"""
_PRODUCT = """
import sys, torch
from core.engine.compiling import computation
from core.engine.problem import prepare
from core.measure.memory.allocator import allocator_peak
from core.measure.timing.clock import Clock
from core.spec.run import RunSpec
spec = RunSpec.from_json(open(sys.argv[1], encoding="utf-8").read())
torch.set_num_threads(spec.measure.threads)
problem = prepare(spec, torch.device("cpu"))
execute = computation(problem)
def peak(): return allocator_peak(problem.device, execute, problem.reset).peak_bytes
clock = Clock(problem.device, problem.reset, execute)
def seconds(): return clock.once()
"""
_ANSWER = """
print(peak(), flush=True)
for line in sys.stdin:
    print(*(seconds() for _ in range(int(line))), flush=True)
"""


class Program:
    """A process that repeats a computation whenever it is asked to; use it with ``with``."""

    def __init__(self, source: str, *files: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", source + _ANSWER, *map(str, files)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.peak_bytes = int(self._answer())

    @classmethod
    def of_script(cls, file: Path, numbers: Path | None = None) -> Program:
        """A script with functions ``seconds`` and ``peak_on_cpu``.

        Args:
            file: the script.
            numbers: what is put into the script's ``numbers``, a list of tensors.
        """
        return cls(_SCRIPT, file) if numbers is None else cls(_SCRIPT + _NUMBERS, file, numbers)

    @classmethod
    def of_product(cls, spec: Path) -> Program:
        """The product, timed as a run times it, on the spec in a file."""
        return cls(_PRODUCT, spec)

    def seconds(self, repetitions: int) -> list[float]:
        """That many repetitions in a row."""
        assert self._process.stdin is not None
        print(repetitions, file=self._process.stdin, flush=True)
        return [float(word) for word in self._answer().split()]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process ended with status {self._process.wait()}"
        return line

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def ratio(one: Program, other: Program, seconds: float, block_s: float = 0.05) -> float:
    """Time of ``one`` ÷ time of ``other``: the median over pairs of blocks, taken in turn.

    Args:
        one: a program.
        other: another.
        seconds: how long to go on; there are at least 5 pairs.
        block_s: length of a block; it has at least one repetition.
    """
    for program in (one, other):
        program.seconds(3)
    slowest = max(statistics.median(program.seconds(3)) for program in (one, other))
    size = max(int(block_s / slowest), 1)
    pairs = max(int(seconds / (2 * size * slowest)), 5)
    ratios = []
    for pair in range(pairs):
        ours, theirs = _in_turn((one, other), size, swapped=pair % 2 == 1)
        ratios.append(statistics.median(ours) / statistics.median(theirs))
    return statistics.median(ratios)


def _in_turn(programs: Sequence[Program], size: int, *, swapped: bool) -> Sequence[list[float]]:
    order = programs[::-1] if swapped else programs
    blocks = [program.seconds(size) for program in order]
    return blocks[::-1] if swapped else blocks
