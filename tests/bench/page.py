"""The benchmark page: what is promised, what was measured, and the command that measures it anew.

Figures are kept in ``benchmarks.json``, one section a benchmark, so that running a single one
renews its own section alone; ``benchmarks.md`` is written from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Self

from tests.bench.table import show

COMMAND = (
    ".venv/bin/python -m pytest -o python_files='bench_*.py' -o faulthandler_timeout=0 -s "
    "tests/bench/"
)
_PREFIX = "test_that_"

_OPENING = """\
# Benchmarks

Written by `make bench`; every command below renews its own section. Give it a quiet machine: each
section says how busy this one was. A bound that was missed stays here as missed.
"""


@dataclass(frozen=True)
class Claim:
    """One promise beside what was measured."""

    promise: str
    bound: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Table:
    """Further figures."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Taken:
    """When and where a benchmark ran.

    Attributes:
        load: how many processes wanted a core on average during the minute before, and during the
            last minute of the benchmark; None where the machine does not tell.
    """

    date: str
    seconds: float
    machine: str
    versions: str
    load: tuple[float, float] | None


@dataclass(frozen=True)
class Section:
    """What one benchmark found.

    Attributes:
        node: file and name of the test, as pytest takes them.
        failure: why it did not get to its end, None where it did.
    """

    node: str
    taken: Taken
    claims: tuple[Claim, ...] = ()
    tables: tuple[Table, ...] = ()
    failure: str | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> Self:
        """The inverse of ``dataclasses.asdict``."""
        taken = dict(kept["taken"])
        load = taken.pop("load")
        return cls(
            node=str(kept["node"]),
            taken=Taken(**taken, load=None if load is None else tuple(load)),
            claims=tuple(Claim(**claim) for claim in kept["claims"]),
            tables=tuple(
                Table(table["title"], tuple(table["headers"]), tuple(map(tuple, table["rows"])))
                for table in kept["tables"]
            ),
            failure=kept["failure"],
        )

    @property
    def function(self) -> str:
        """The node without its parameters."""
        return self.node.partition("[")[0]

    @property
    def title(self) -> str:
        """The test's name as a sentence."""
        words = self.function.rpartition("::")[2].removeprefix(_PREFIX).replace("_", " ")
        return words[:1].upper() + words[1:]


@dataclass
class Page:
    """What a benchmark writes on while it runs."""

    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def claim(self, promise: str, bound: str, measured: str, met: bool) -> None:
        """A promise that was kept or missed; a missed one fails the benchmark when it ends."""
        self.claims.append(Claim(promise, bound, measured, bool(met)))
        print(f"\n{promise}: {measured} (promised {bound}): {'met' if met else 'MISSED'}")

    def table(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Further figures, printed too."""
        cells = tuple(tuple(str(cell) for cell in row) for row in rows)
        self.tables.append(Table(title, tuple(headers), cells))
        show(title, headers, rows)

    def missed(self) -> list[str]:
        """A sentence for each promise that was not kept."""
        return [
            f"{claim.promise}: {claim.measured}, promised {claim.bound}"
            for claim in self.claims
            if not claim.met
        ]


def kept(file: Path) -> dict[str, Section]:
    """The sections of a file by node; none where there is no such file."""
    if not file.exists():
        return {}
    sections = map(Section.from_json, json.loads(file.read_text(encoding="utf-8")))
    return {section.node: section for section in sections}


def renew(folder: Path, section: Section) -> None:
    """Puts a section in the place of its older self and writes the page."""
    file = folder / "benchmarks.json"
    sections = kept(file) | {section.node: section}
    ordered = [sections[node] for node in sorted(sections)]
    content = json.dumps([asdict(one) for one in ordered], indent=1, ensure_ascii=False)
    file.write_text(content + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text(rendered(ordered), encoding="utf-8")


def rendered(sections: Sequence[Section]) -> str:
    """The page; sections of one test with different parameters, which follow each other, are one.

    Args:
        sections: in the order of the page.
    """
    claims = [claim for section in sections for claim in section.claims]
    met = sum(claim.met for claim in claims)
    failed = sum(section.failure is not None for section in sections)
    parts = [_OPENING, f"**{met} of {len(claims)} promises met.**"]
    if failed:
        parts[-1] += f" {failed} did not get to their end."
    for _, found in groupby(sections, key=lambda section: section.function):
        parts += _section(list(found))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _section(found: Sequence[Section]) -> Iterator[str]:
    yield f"## {found[0].title}"
    claims = [claim for section in found for claim in section.claims]
    if claims:
        yield _table(
            ("promised", "bound", "measured", ""),
            [
                (claim.promise, claim.bound, claim.measured, "met" if claim.met else "**missed**")
                for claim in claims
            ],
        )
    for section in found:
        if section.failure is not None:
            yield f"**Failed**: {_cell(section.failure)}"
        for table in section.tables:
            yield f"{table.title}:"
            yield _table(table.headers, table.rows)
    yield f"```sh\n{COMMAND}{found[0].function}\n```"
    yield _when([section.taken for section in found])


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _when(taken: Sequence[Taken]) -> str:
    last = taken[-1]
    loads = [load for one in taken if one.load is not None for load in one.load]
    busy = f"load {min(loads):.1f} to {max(loads):.1f}" if loads else "load not told"
    seconds = sum(one.seconds for one in taken)
    return f"{last.date}, {seconds:.0f} s, {busy}; {last.machine}; {last.versions}."
