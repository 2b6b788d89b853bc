"""Python source as a formatter would lay it out, from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

WIDTH = 100
INDENT = "    "
FEWEST_LINES_SAVED = 4
FEWEST_TIMES = 3

T = TypeVar("T")


def call(before: str, function: str, arguments: Sequence[str], depth: int = 0) -> list[str]:
    """The lines of a statement that ends in a call, such as ``x = f(a, b)``.

    Args:
        before: what stands in front of the function, for example ``x = ``.
        function: what is called.
        arguments: as they are written.
        depth: levels of indentation.
    """
    margin = INDENT * depth
    line = f"{margin}{before}{function}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return [line]
    inner = f"{margin}{INDENT}{', '.join(arguments)}"
    opening, closing = f"{margin}{before}{function}(", f"{margin})"
    if len(inner) <= WIDTH:
        return [opening, inner, closing]
    return [opening, *(f"{margin}{INDENT}{argument}," for argument in arguments), closing]


def laid_out(expression: str, depth: int = 0, end: str = "") -> list[str]:
    """The lines of an expression; one that is too long is broken at the arguments of its call.

    Args:
        expression: such as ``f(a, g(b, c))``.
        depth: levels of indentation.
        end: what follows it.
    """
    line = f"{INDENT * depth}{expression}{end}"
    if len(line) <= WIDTH or not expression.endswith(")"):
        return [line]
    function, _, inside = expression[:-1].partition("(")
    within = f"{INDENT * (depth + 1)}{inside}"
    if len(within) <= WIDTH:
        lines = [within]
    else:
        lines = [line for one in _arguments(inside) for line in laid_out(one, depth + 1, ",")]
    return [f"{INDENT * depth}{function}(", *lines, f"{INDENT * depth}){end}"]


def _arguments(inside: str) -> list[str]:
    """What stands between commas outside of brackets."""
    found, open_brackets = [""], 0
    for character in inside:
        open_brackets += (character in "([") - (character in ")]")
        if character == "," and not open_brackets:
            found.append("")
        else:
            found[-1] += character
    return [argument.strip() for argument in found]


def quoted(text: str) -> str:
    """A text as a literal, in double quotes where that needs no escapes."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal


def sizes(values: Sequence[int]) -> str:
    """Sizes as arguments: ``64, 3, 32``."""
    return ", ".join(map(str, values))


def tuple_of(values: Sequence[int]) -> str:
    """Sizes as a literal: ``(3, 32)``, ``(3,)``."""
    return f"({sizes(values)},)" if len(values) == 1 else f"({sizes(values)})"


@dataclass(frozen=True)
class Stretch(Generic[T]):
    """Items that follow each other ``times`` times; ``first`` is the position of the first."""

    first: int
    block: tuple[T, ...]
    times: int


def stretches(items: Sequence[T]) -> list[Stretch[T]]:
    """The items in order, repetitions put together where that saves lines."""
    found: list[Stretch[T]] = []
    position = 0
    while position < len(items):
        best = max(
            (_stretch(items, position, size) for size in range(1, len(items) - position + 1)),
            key=_saved,
        )
        if best.times < FEWEST_TIMES or _saved(best) < FEWEST_LINES_SAVED:
            best = Stretch(position, (items[position],), 1)
        found.append(best)
        position += len(best.block) * best.times
    return found


def _stretch(items: Sequence[T], first: int, size: int) -> Stretch[T]:
    block = tuple(items[first : first + size])
    times = 1
    while tuple(items[first + times * size : first + (times + 1) * size]) == block:
        times += 1
    return Stretch(first, block, times)


def _saved(stretch: Stretch[T]) -> int:
    return len(stretch.block) * (stretch.times - 1)
