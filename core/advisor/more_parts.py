"""The batch in more parts than are tried with everything else, for where nothing exact fits.

What a part needs falls with the number of parts and time grows with it, so that the first number
with which something fits is the one to know. Only the leanest combinations are taken further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from core.advisor.combinations import Combination, batch_examples, mitigations_of
from core.advisor.words import label_of
from core.results.advice import AdvicePoint
from core.spec.declaration import declared_fields
from core.spec.mitigations import Mitigation
from core.spec.run import RunSpec

PATIENCE_S: Final = 10.0
"""Numbers of parts whose answers took longer than this together are the last that are asked."""

_LEANEST: Final = 4
_KEY: Final = "mitigation.accumulation"


def in_more_parts(
    asked: RunSpec, known: Sequence[tuple[Combination, AdvicePoint]]
) -> Iterator[list[Combination]]:
    """The leanest exact combinations in ever more parts, up to one example in each.

    Args:
        asked: the configuration that was asked about.
        known: what was foretold so far.

    Yields:
        For each number of parts, from two on, the combinations that are not known with it.
    """
    seen = {_but_parts(each.spec, each.spec.mitigation.accumulation) for each, _ in known}
    leanest = _leanest(known)
    for parts in _numbers(batch_examples(asked)):
        found: list[Combination] = []
        for base in leanest:
            if _but_parts(base.spec, parts) not in seen:
                found += _divided(asked, base, parts)
        if found:
            yield found


def _numbers(examples: int) -> Iterator[int]:
    """Powers of two, and the number of examples."""
    parts = 2
    while parts < examples:
        yield parts
        parts *= 2
    if examples > 1:
        yield examples


def _leanest(known: Sequence[tuple[Combination, AdvicePoint]]) -> list[Combination]:
    """Those that need the least in parts, and those that need the least undivided: a number of
    segments was tried without parts alone. Each whatever its number of parts."""
    exact = [(each, point) for each, point in known if _divides(each)]
    exact.sort(key=lambda pair: pair[1].forecast.total_bytes)
    undivided = [pair for pair in exact if pair[0].spec.mitigation.accumulation == 1]
    taken: dict[object, Combination] = {}
    for pairs in (exact, undivided):
        most = len(taken) + _LEANEST
        for each, _ in pairs:
            if len(taken) < most:
                taken.setdefault(_but_parts(each.spec, 1), each)
    return list(taken.values())


def _divides(each: Combination) -> bool:
    mitigation = each.spec.mitigation
    has_effect = any(
        field.name == "accumulation" and field.takes_effect(mitigation, each.spec)
        for field in declared_fields(Mitigation)
    )
    return has_effect and not each.approximates and not mitigation.compile


def _but_parts(spec: RunSpec, parts: int) -> object:
    """A configuration with another number of parts, whatever its name."""
    return _with_parts(spec, parts, "").to_json()


def _with_parts(spec: RunSpec, parts: int, name: str) -> RunSpec:
    mitigation = spec.mitigation.model_copy(update={"accumulation": parts})
    return spec.model_copy(update={"mitigation": mitigation, "name": name})


def _divided(asked: RunSpec, base: Combination, parts: int) -> Iterator[Combination]:
    spec = _with_parts(base.spec, parts, asked.name)
    if spec.problems():
        return
    label = label_of(spec, asked, base.way)
    changes = {key: value for key, value in base.changes.items() if key != _KEY}
    if parts != asked.mitigation.accumulation:
        changes[_KEY] = parts
    yield Combination(
        spec=spec.model_copy(update={"name": f"{asked.name}, {label}"}),
        changes=changes,
        label=label,
        mitigations=mitigations_of(spec) + bool(base.way),
        way=base.way,
    )
