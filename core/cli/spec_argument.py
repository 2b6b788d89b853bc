"""A spec as the command line names it: a file, a preset or standard input, and ``--set``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.refusal import Refused
from core.spec.beside import beside, is_file
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from core.spec.run import RunSpec, value_from
from core.spec.variants import VARIANTS, variant

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="A file, the name of a preset, or - for stdin.")
]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides one key; may be repeated."),
]
VariantOption = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="A smaller or larger one: " + ", ".join(each.name for each in VARIANTS) + ".",
    ),
]


def read_spec(argument: str, changes: Sequence[str], wanted_variant: str | None = None) -> RunSpec:
    """The spec that ``SPEC``, ``--set KEY=VALUE …`` and ``--variant NAME`` name, ready to run.

    Raises:
        Refused: with one sentence for each thing that is wrong.
    """
    try:
        spec = _read(argument).with_changes(_values(changes))
    except InvalidSpec as error:
        raise Refused(*(problem.sentence for problem in error.problems)) from None
    problems = spec.problems()
    if problems:
        raise Refused(*(problem.sentence for problem in problems))
    if wanted_variant is None:
        return spec
    try:
        return variant(spec, wanted_variant)
    except InvalidSpec as error:
        raise Refused(f"--{error}") from None


def _read(argument: str) -> RunSpec:
    if argument == "-":
        return RunSpec.from_json(_text(sys.stdin.buffer.read()))
    file = Path(argument)
    if not is_file(file):
        # A path that is not there is no misspelt preset.
        if file.suffix or len(file.parts) > 1:
            raise Refused(f"SPEC: {argument} is not a file that can be read.")
        return preset(argument).spec
    try:
        spec = RunSpec.from_json(_text(file.read_bytes()))
    except OSError as error:
        raise Refused(f"SPEC: {argument} cannot be read: {error.strerror}.") from None
    return beside(spec, file)


def _values(changes: Sequence[str]) -> dict[str, Any]:
    """The values by their keys, in the order in which they are set; the last of a key counts."""
    values: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise Refused(f"--set: {change!r} was given; allowed: KEY=VALUE.")
        values.pop(key.strip(), None)
        values[key.strip()] = value_from(text)
    return values


def _text(content: bytes) -> bytes:
    """JSON as it is, without the mark that some editors put in front."""
    return content.removeprefix(b"\xef\xbb\xbf")
