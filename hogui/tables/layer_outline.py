"""What the layer table shows: the outline of a stack, and what is known of each of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.results.forecast import Finding
from core.spec.declaration import Problem
from core.spec.layers import LayerSpec, Mixed, Shape, describe_settings
from core.spec.model import LayerRow, Place, StackModel
from hogui.tables.layer_columns import Column, text_of
from hogui.tables.layer_entries import (
    Entry,
    Spot,
    at_depth,
    common,
    end,
    folded,
    holds_together,
    parent,
    paths,
    places,
    roots,
    sibling,
    within,
)
from hogui.tables.row_notes import LayerFindings, RowNote, row_notes


class LayerOutline:
    """A stack as rows.

    Where a row is moved, so is all that lies within its layer.
    """

    def __init__(self) -> None:
        self.stack = StackModel(input_shape=(1,))
        self.entries: list[Entry] = []
        self._rows: list[LayerRow] = []
        self._places: list[Place] = []
        self._sentences: dict[Place, str] = {}
        self._findings = LayerFindings((), ())

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers, where a draft stands its last right settings."""
        return folded(self.entries)

    def problems(self) -> tuple[Problem, ...]:
        """One for each draft."""
        return tuple(
            Problem(path, entry.draft.sentence)
            for path, entry in zip(paths(self.entries), self.entries, strict=True)
            if entry.draft is not None
        )

    def set_findings(self, findings: Iterable[Finding]) -> None:
        """What was found out about the layers of now."""
        self._findings = LayerFindings(findings, self.layers)

    def folded(self, row: int) -> LayerSpec:
        """A row's layer with all that lies within it."""
        (layer,) = folded(self.entries[row : end(self.entries, row)])
        return layer

    def text(self, row: int, column: Column) -> str:
        """What a cell shows."""
        draft = self.entries[row].draft
        if column is Column.SETTINGS and draft is not None:
            return draft.text
        return text_of(column, self.folded(row), self._places[row], self._rows[row])

    def edited(self, row: int, column: Column) -> str:
        """What an editor begins with: all settings, which the table may show more briefly."""
        draft = self.entries[row].draft
        if column is Column.KIND:
            return self.entries[row].layer.kind
        if column is Column.SETTINGS:
            return describe_settings(self.folded(row)) if draft is None else draft.text
        return self.text(row, column)

    def sentence(self, row: int) -> str | None:
        """What is wrong with a row, None where nothing is."""
        draft = self.entries[row].draft
        return self._sentences.get(self._places[row]) if draft is None else draft.sentence

    def notes(self, row: int) -> tuple[RowNote, ...]:
        """What a row says below itself; findings are said of a layer of the stack as a whole."""
        position, *inner = self._places[row]
        found = () if inner else self._findings.of(position, self.layers)
        return row_notes(self.sentence(row), found)

    def spot_before(self, row: int) -> Spot:
        """Before a row, within the same layers; at the end of the stack below the last."""
        last = row >= len(self.entries)
        return Spot(len(self.entries), 0) if last else Spot(row, self.entries[row].depth)

    def spot_after(self, row: int) -> Spot:
        """After a row's layer, within the same layers; within it where it has no layer yet."""
        entry, after = self.entries[row], end(self.entries, row)
        inside = bool(entry.layer.parts_field) and after == row + 1
        return Spot(after, entry.depth + inside)

    def spot_below(self, row: int) -> Spot:
        """Directly below a row: as the first layer within it where it can have some."""
        entry = self.entries[row]
        return Spot(row + 1, entry.depth + bool(entry.layer.parts_field))

    def surroundings(self, spot: Spot) -> tuple[LayerSpec | None, Shape | None]:
        """The layer whose output something at a spot would get, and that output's shape.

        What is the first within a layer, or one of several candidates, gets what that layer gets.
        """
        above = sibling(self.entries, spot)
        holder = parent(self.entries, spot.row, spot.depth)
        is_candidate = holder is not None and isinstance(self.entries[holder].layer, Mixed)
        if above is not None and not is_candidate:
            return self.entries[above].layer, self._rows[above].output_shape
        return None, self.stack.input_shape if holder is None else self._rows[holder].input_shape

    def copies(self, rows: Sequence[int]) -> tuple[Spot, list[Entry]]:
        """Copies of some rows, and where they go: below the last of them."""
        last = roots(self.entries, rows)[-1]
        spot = Spot(end(self.entries, last), self.entries[last].depth)
        return spot, at_depth(self.entries, rows, spot.depth)

    def moved(self, rows: Sequence[int], spot: Spot) -> tuple[list[int], list[Entry]]:
        """The order of the rows after a move, and the entries, in the order before it."""
        chosen = within(self.entries, rows)
        inside = set(chosen)
        entries = list(self.entries)
        for row, entry in zip(chosen, at_depth(self.entries, rows, spot.depth), strict=True):
            entries[row] = entry
        rest = [row for row in range(len(entries)) if row not in inside]
        above = sum(row < spot.row for row in rest)
        order = [*rest[:above], *chosen, *rest[above:]]
        is_within_itself = spot.row in inside and spot.row not in roots(self.entries, rows)
        if is_within_itself or not holds_together([entries[row] for row in order]):
            return list(range(len(entries))), list(self.entries)
        return order, entries

    def spot_by(self, rows: Sequence[int], step: int) -> Spot | None:
        """One place up (-1) or down (1) within the same layer, None where there is no room."""
        chosen = roots(self.entries, rows)
        if not chosen:
            return None
        depth = self.entries[chosen[0]].depth
        if step < 0:
            before = sibling(self.entries, Spot(chosen[0], depth))
            return None if before is None else Spot(before, depth)
        after = end(self.entries, chosen[-1])
        if after == len(self.entries) or self.entries[after].depth != depth:
            return None
        return Spot(end(self.entries, after), depth)

    def spot_across(self, rows: Sequence[int], step: int) -> Spot | None:
        """Into the layer above (1) or out of the one around (-1), None where there is none."""
        chosen = roots(self.entries, rows)
        if not chosen:
            return None
        depth = self.entries[chosen[0]].depth
        if step > 0:
            above = sibling(self.entries, Spot(chosen[0], depth))
            if above is None or not self.entries[above].layer.parts_field:
                return None
            return Spot(end(self.entries, above), depth + 1)
        holder = parent(self.entries, chosen[0], depth)
        return None if holder is None else Spot(end(self.entries, holder), depth - 1)

    def changes(self, new: Sequence[Entry]) -> tuple[int, int, list[Entry]]:
        """From which row on, up to which, and by what the rows have to be replaced."""
        old = self.entries
        head = common(old, new)
        tail = common(old[head:][::-1], new[head:][::-1])
        return head, len(old) - tail, list(new[head : len(new) - tail])

    def drop_rows(self, start: int, stop: int) -> None:
        """Leaves out rows; the others say the same as before."""
        for rows in (self.entries, self._rows, self._places):
            del rows[start:stop]

    def add_rows(self, row: int, entries: Sequence[Entry]) -> None:
        """Puts in rows of which nothing is known yet; the others say the same as before."""
        self.entries[row:row] = entries
        self._rows[row:row] = [
            LayerRow(position, entry.layer, None, None, None, None)
            for position, entry in enumerate(entries, row)
        ]
        self._places[row:row] = list(places(self.entries))[row : row + len(entries)]

    def follow(self) -> None:
        """Infers shapes, and whose each problem is."""
        self.stack = StackModel.model_construct(
            kind="stack", input_shape=self.stack.input_shape, layers=self.layers
        )
        outline = self.stack.outline()
        self._places = [place for place, _ in outline]
        self._rows = [row for _, row in outline]
        self._sentences = {}
        for place, row in outline:
            if row.problem is not None:
                inner = [part for part in row.problem_path if isinstance(part, int)]
                self._sentences.setdefault((*place, *inner), row.problem)
