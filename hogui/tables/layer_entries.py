"""A stack of layers as an outline: one entry for each layer, those within a layer below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from core.spec.declaration import Path
from core.spec.layers import LayerSpec
from core.spec.model import Place


@dataclass(frozen=True)
class Draft:
    """Settings as typed, which the layer does not take."""

    text: str
    sentence: str


@dataclass(frozen=True)
class Entry:
    """One layer of an outline.

    Attributes:
        layer: without the layers within it, which are entries of their own.
        depth: how many layers it lies within.
        draft: refused settings, if there are any.
    """

    layer: LayerSpec
    depth: int = 0
    draft: Draft | None = None

    @property
    def key(self) -> tuple[LayerSpec, int]:
        """What makes two entries the same, whatever is typed in them."""
        return self.layer, self.depth


@dataclass(frozen=True)
class Spot:
    """Where something goes: before a row, within as many layers."""

    row: int
    depth: int


def unfolded(layers: Iterable[LayerSpec], depth: int = 0) -> list[Entry]:
    """The outline of layers that lie within ``depth`` others."""
    entries: list[Entry] = []
    for layer in layers:
        field = layer.parts_field
        entries.append(Entry(layer.model_copy(update={field: ()}) if field else layer, depth))
        entries += unfolded(layer.parts, depth + 1)
    return entries


def folded(entries: Sequence[Entry]) -> tuple[LayerSpec, ...]:
    """The layers of an outline, or of a part of it that begins at its outermost."""
    layers, row = [], 0
    while row < len(entries):
        last = end(entries, row)
        layer = entries[row].layer
        if layer.parts_field:
            parts = folded(entries[row + 1 : last])
            layer = layer.model_copy(update={layer.parts_field: parts})
        layers.append(layer)
        row = last
    return tuple(layers)


def end(entries: Sequence[Entry], row: int) -> int:
    """The row after a layer and all that lies within it."""
    for below in range(row + 1, len(entries)):
        if entries[below].depth <= entries[row].depth:
            return below
    return len(entries)


def parent(entries: Sequence[Entry], row: int, depth: int) -> int | None:
    """The row of the layer that something before ``row``, at this depth, lies within."""
    return next((above for above in range(row)[::-1] if entries[above].depth < depth), None)


def sibling(entries: Sequence[Entry], spot: Spot) -> int | None:
    """The row of the layer that precedes a spot within the same layer."""
    for above in range(spot.row)[::-1]:
        if entries[above].depth <= spot.depth:
            return above if entries[above].depth == spot.depth else None
    return None


def roots(entries: Sequence[Entry], rows: Iterable[int]) -> list[int]:
    """Those of some rows that lie within none of the others."""
    found: list[int] = []
    last = 0
    for row in sorted(set(rows)):
        if row >= last:
            found.append(row)
            last = end(entries, row)
    return found


def within(entries: Sequence[Entry], rows: Iterable[int]) -> list[int]:
    """Some rows and all that lie within them."""
    return [
        row for root in roots(entries, rows) for row in range(root, end(entries, root))
    ]  # fmt: skip


def at_depth(entries: Sequence[Entry], rows: Iterable[int], depth: int) -> list[Entry]:
    """Layers with what lies within them, each at this depth."""
    return [
        replace(entry, depth=entry.depth - entries[root].depth + depth)
        for root in roots(entries, rows)
        for entry in entries[root : end(entries, root)]
    ]


def places(entries: Sequence[Entry]) -> Iterator[Place]:
    """The place of each entry."""
    place: list[int] = []
    for entry in entries:
        if entry.depth < len(place):
            place = [*place[: entry.depth], place[entry.depth] + 1]
        else:
            place = [*place, 0]
        yield tuple(place)


def paths(entries: Sequence[Entry]) -> Iterator[Path]:
    """The path of each entry in a spec."""
    fields: list[str] = []
    for entry, place in zip(entries, places(entries), strict=True):
        fields = [*fields[: entry.depth], entry.layer.parts_field]
        path: Path = ("model", "layers", place[0])
        for field, position in zip(fields, place[1:], strict=False):
            path = (*path, field, position)
        yield path


def holds_together(entries: Sequence[Entry]) -> bool:
    """Whether each entry lies within the one that it stands below."""
    above: list[Entry] = []
    for entry in entries:
        above = above[: entry.depth]
        if len(above) < entry.depth or (above and not above[-1].layer.parts_field):
            return False
        above.append(entry)
    return True


def common(first: Sequence[Entry], second: Sequence[Entry]) -> int:
    """How many entries agree from the start on."""
    length = min(len(first), len(second))
    return next((i for i in range(length) if first[i].key != second[i].key), length)
