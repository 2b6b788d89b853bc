"""Undo and redo for a configuration. Specs are frozen, so the past is a list of them."""

from core.spec.run import RunSpec

COALESCE_S = 1.0
"""Changes of the same keys that follow each other faster are one step: typing a number."""

NEVER_COALESCED = frozenset({"model.layers"})
"""Here one change is one finished edit of a row already."""

LONGEST = 500


class SpecHistory:
    """The specs that a tab went through, and where in them it stands."""

    def __init__(self, spec: RunSpec) -> None:
        self._specs = [spec]
        self._position = 0
        self._last_keys: frozenset[str] = frozenset()
        self._last_change_s = float("-inf")

    @property
    def current(self) -> RunSpec:
        """The spec of now."""
        return self._specs[self._position]

    @property
    def can_undo(self) -> bool:
        return self._position > 0

    @property
    def can_redo(self) -> bool:
        return self._position + 1 < len(self._specs)

    def change(self, spec: RunSpec, now_s: float) -> None:
        """Goes on to another spec; what had been undone is given up.

        Args:
            spec: the new one.
            now_s: a monotonic clock; tells typing from separate changes.
        """
        if spec == self.current:
            return
        keys = changed_keys(self.current, spec)
        continues = (
            keys == self._last_keys
            and not keys & NEVER_COALESCED
            and now_s - self._last_change_s < COALESCE_S
        )
        del self._specs[self._position + 1 :]
        if continues and self._position > 0:
            self._specs[self._position] = spec
        else:
            self._specs.append(spec)
        del self._specs[:-LONGEST]
        self._position = len(self._specs) - 1
        self._last_keys, self._last_change_s = keys, now_s

    def undo(self) -> RunSpec:
        """Back by one step, if there is one."""
        return self._move(-1)

    def redo(self) -> RunSpec:
        """Forth by one step, if there is one."""
        return self._move(+1)

    def _move(self, step: int) -> RunSpec:
        self._position = min(max(self._position + step, 0), len(self._specs) - 1)
        self._last_keys = frozenset()
        return self.current


def changed_keys(one: RunSpec, other: RunSpec) -> frozenset[str]:
    """The dotted keys by which two specs differ."""
    before, after = one.flatten(), other.flatten()
    absent = object()
    return frozenset(
        key for key in {*before, *after} if before.get(key, absent) != after.get(key, absent)
    )
