"""What a rematerialized segment does to memory, taken from its first evaluation for those like it.

An evaluation leaves no graph behind (``core.engine.repeats``): it makes tensors, lets go of most of
them and of its cotangents, and returns the others. On tensors without numbers all of that follows
from the function, from the shapes of its tensors and from who else holds the cotangents, into
which autograd may add. So the ledger's entries for one evaluation are those for the next.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import torch
from typing_extensions import override

from core.engine.tangents import carries_tangents
from core.measure.forecasting.alike import Alike
from core.measure.forecasting.numberless import Predicted
from core.measure.forecasting.quick_fake import (
    Numberless,
    another_view,
    answer,
    is_alone,
    keep_company,
    made,
)
from core.measure.memory.blocks import Block
from core.measure.memory.calls import Call, TensorLike
from core.measure.memory.curve import Entry

Tensors = Sequence[torch.Tensor | None]
_MadeBy: TypeAlias = tuple[int, int, int, int, tuple[int, int]]
_Given: TypeAlias = tuple[int | None, weakref.ref[torch.Tensor]]
"""The number of its block, and the tensor for as long as it lives."""

_OUTSIDE_OF_NODES: Final = None


class NotRepeated(Exception):
    """An evaluation did not let go of what one like it had: the prediction must do without."""


@dataclass(frozen=True)
class _Output:
    """A tensor that an evaluation returns.

    Attributes:
        of: position among all that it was given, whose storage it shares; None for a new one.
        itself: whether it is that very tensor.
        storage: which of the new storages, by the number of its block after the first.
        first: position of the output that is the same tensor.
        alone: whether nothing else holds its storage; what autograd has made a view of keeps the
            tensor that it is a view of.
    """

    size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    offset: int = 0
    dtype: torch.dtype = torch.float32
    of: int | None = None
    itself: bool = False
    storage: int = 0
    nbytes: int = 0
    first: int | None = None
    alone: bool = True


@dataclass(frozen=True)
class _Stretch:
    """Entries between which nothing from outside is let go of.

    Attributes:
        entries: seconds, blocks: since the evaluation began.
        operations: how many had been made at its end.
        lets_go: cotangents that are let go of then; None at the end.
    """

    entries: list[Entry]
    operations: int
    lets_go: tuple[int, ...] | None


@dataclass(frozen=True)
class _Evaluation:
    stretches: list[_Stretch]
    blocks: list[Block]
    made: list[_MadeBy]
    outputs: list[_Output | None]
    else_known: Any
    born: str
    layer: int
    last_marked: int | None
    ran_nodes: bool
    in_phase: dict[int, list[Block]]

    def blocks_in(self, phase: int) -> list[Block]:
        """Those of an evaluation in this phase; the dead ones are the same for all."""
        if phase not in self.in_phase:
            self.in_phase[phase] = [
                replace(block, born_in=phase, died_in=None if block.died_in is None else phase)
                for block in self.blocks
            ]
        return self.in_phase[phase]


class QuicklyPredicted(Predicted):
    """The same above ``QuickFake``, which it asks without torch between them.

    It is a ``core.engine.repeats.Repeats``, too.
    """

    def __init__(self, device: torch.device, block_bytes: int) -> None:
        super().__init__(device, block_bytes)
        self._evaluations: dict[object, _Evaluation | None] = {}
        self._alike = Alike(self)

    @override
    def answer(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call | None = None
    ) -> Any:
        return answer(func, args, kwargs, call)

    def evaluated(
        self,
        what: object,
        tensors: Sequence[torch.Tensor],
        cotangents: dict[int, torch.Tensor],
        evaluate: Callable[[], tuple[Tensors, Any]],
    ) -> tuple[Tensors, Any]:
        """See ``core.engine.repeats.Repeats``."""
        if carries_tangents():
            return evaluate()
        key = self._key(what, tensors, cotangents)
        if key not in self._evaluations:
            return self._written_down(key, what, tensors, cotangents, evaluate)
        known = self._evaluations[key]
        if known is None:
            return evaluate()
        return self._repeated(known, tensors, cotangents), known.else_known

    def _key(
        self, what: object, tensors: Sequence[torch.Tensor], cotangents: dict[int, torch.Tensor]
    ) -> object:
        places: dict[int, int] = {}
        for tensor in (*tensors, *cotangents.values()):
            places.setdefault(tensor.untyped_storage()._cdata, len(places))
        return (
            self._alike.described(what),
            tuple([self._alike.described(tensor) for tensor in tensors]),
            tuple(
                [
                    (
                        position,
                        self._alike.described(tensor),
                        sys.getrefcount(tensor),
                        tensor._use_count(),  # type: ignore[attr-defined]
                        is_alone(tensor),
                        places[tensor.untyped_storage()._cdata],
                        tensor.untyped_storage().nbytes(),
                    )
                    for position, tensor in cotangents.items()
                ]
            ),
            tuple([places[tensor.untyped_storage()._cdata] for tensor in tensors]),
            (self._born, self._layer, self._layer_of_operation(), self._phase >= 0),
            (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")),
            torch.get_autocast_dtype("cpu"),
        )

    # The first of its kind.

    def _written_down(
        self,
        key: object,
        what: object,
        tensors: Sequence[torch.Tensor],
        cotangents: dict[int, torch.Tensor],
        evaluate: Callable[[], tuple[Tensors, Any]],
    ) -> tuple[Tensors, Any]:
        start = self._log.length, len(self._blocks), len(self._made)
        phases, running = len(self._phases), (self._running, self._running_since)
        marks = self._marks()
        held = self._held_of(tensors)
        described = self._alike.described(what)
        lets_go: dict[int, list[int]] = {}
        given = [self._given(tensor) for tensor in (*tensors, *cotangents.values())]
        for position, tensor in cotangents.items():
            block = self._known.get(tensor.untyped_storage()._cdata)
            if block is not None:
                lets_go.setdefault(block[0], []).append(position)
            del tensor
        outputs, else_known = evaluate()
        # Whoever fills a list on the way cannot be left out.
        pure = (
            len(self._phases) == phases
            and self._held_of(tensors) == held
            and self._alike.described(what) == described
        )
        shapes = self._outputs(outputs, given, start[1]) if pure else None
        stretches = None if shapes is None else self._stretches(start, lets_go)
        if shapes is None or stretches is None:
            self._evaluations[key] = None
            return outputs, else_known
        self._evaluations[key] = _Evaluation(
            stretches=stretches,
            blocks=[replace(block) for block in self._blocks[start[1] :]],
            made=[
                (position - start[0], number, layer, 0, (first - start[1], end - start[1]))
                for position, number, layer, _, (first, end) in self._made[start[2] :]
            ],
            outputs=shapes,
            else_known=else_known,
            born=self._born,
            layer=self._layer,
            last_marked=self._sequence_layers[-1] if self._marks() != marks else None,
            ran_nodes=(self._running, self._running_since) != running,
            in_phase={},
        )
        return outputs, else_known

    def _marks(self) -> tuple[int, tuple[int, ...]]:
        return len(self._sequence_layers), tuple(self._sequence_layers[-1:])

    def _given(self, tensor: torch.Tensor) -> _Given:
        known = self._known.get(tensor.untyped_storage()._cdata)
        return None if known is None else known[0], weakref.ref(tensor)

    def _held_of(self, tensors: Sequence[torch.Tensor]) -> list[str | None]:
        known = [self._known.get(tensor.untyped_storage()._cdata) for tensor in tensors]
        return [None if one is None else self._blocks[one[0]].held for one in known]

    def _outputs(
        self, outputs: Tensors, given: Sequence[_Given], first: int
    ) -> list[_Output | None] | None:
        """None where there is more to what is left than the outputs."""
        found: list[_Output | None] = []
        storages: set[int] = set()
        seen: dict[int, int] = {}
        for place, output in enumerate(outputs):
            if output is None:
                found.append(None)
                continue
            if id(output) in seen:
                found.append(_Output(first=seen[id(output)]))
                continue
            seen[id(output)] = place
            storage = output.untyped_storage()
            shape = _Output(
                tuple(output.shape),
                output.stride(),
                int(output.storage_offset()),
                output.dtype,
                alone=is_alone(output),
            )
            known = self._known.get(storage._cdata)
            if known is None or not isinstance(output, Numberless):
                return None
            if known[0] >= first:
                storages.add(known[0])
                found.append(replace(shape, storage=known[0] - first, nbytes=storage.nbytes()))
                continue
            itself = [tensor() is output for _, tensor in given]
            sharing = [block == known[0] for block, _ in given]
            if not any(sharing):
                return None
            of = (itself if any(itself) else sharing).index(True)
            found.append(replace(shape, of=of, itself=any(itself)))
        alive = {
            number
            for number in range(first, len(self._blocks))
            if self._blocks[number].died_in is None
        }
        return found if alive == storages else None

    def _stretches(
        self, start: tuple[int, int, int], lets_go: dict[int, list[int]]
    ) -> list[_Stretch] | None:
        """None where something from outside dies that is no cotangent."""
        first, made_before = start[1], start[2]
        found, entries = [], list[Entry]()
        for t_s, block, change, born in self._log.since(start[0]):
            done = int(t_s) - made_before
            if block >= first:
                entries.append((float(done), block - first, change, born))
            elif block in lets_go:
                found.append(_Stretch(entries, done, tuple(lets_go[block])))
                entries = []
            else:
                return None
        found.append(_Stretch(entries, len(self._made) - made_before, None))
        return found

    # The others.

    def _repeated(
        self,
        known: _Evaluation,
        tensors: Sequence[torch.Tensor],
        cotangents: dict[int, torch.Tensor],
    ) -> Tensors:
        log, blocks, operations = self._log.length, len(self._blocks), len(self._made)
        shared = self._shared(known.outputs, [*tensors, *cotangents.values()])
        fresh = known.blocks_in(self._phase)
        self._blocks += fresh
        for block in fresh:
            if block.died_in is None:
                self._live_bytes += block.nbytes
        phase, done = self._phase, 0
        for stretch in known.stretches:
            self._made += [
                (position + log, number, layer, phase, (first + blocks, end + blocks))
                for position, number, layer, _, (first, end) in known.made[
                    done : stretch.operations
                ]
            ]
            done = stretch.operations
            self._log.extend(
                [
                    (t_s + operations, block + blocks, change, born)
                    for t_s, block, change, born in stretch.entries
                ]
            )
            if stretch.lets_go is not None:
                before = self._log.length
                for position in stretch.lets_go:
                    del cotangents[position]
                if self._log.length != before + 1:
                    raise NotRepeated
        before = self._log.length
        cotangents.clear()
        if self._log.length != before:
            raise NotRepeated
        self._born, self._layer = known.born, known.layer
        if known.ran_nodes:
            self._running = _OUTSIDE_OF_NODES
        if known.last_marked is not None:
            self._mark_sequence(known.last_marked)
        return self._made_anew(known, shared, blocks)

    def _shared(
        self, outputs: list[_Output | None], given: list[torch.Tensor]
    ) -> dict[int, torch.Tensor]:
        """Outputs that are arguments, or views of them."""
        return {
            place: given[output.of]
            if output.itself
            else another_view(given[output.of], output.size, output.stride, output.offset)
            for place, output in enumerate(outputs)
            if output is not None and output.of is not None
        }

    def _made_anew(
        self, known: _Evaluation, shared: dict[int, torch.Tensor], blocks: int
    ) -> list[torch.Tensor | None]:
        found: list[torch.Tensor | None] = []
        whole: dict[int, torch.Tensor] = {}
        for place, output in enumerate(known.outputs):
            if output is None:
                found.append(None)
            elif output.first is not None:
                found.append(found[output.first])
            elif place in shared:
                found.append(shared[place])
            else:
                like = TensorLike(output.size, output.stride, output.dtype)
                old = whole.get(output.storage)
                if old is None and not output.offset and like.nbytes == output.nbytes:
                    tensor: torch.Tensor = made(like)
                    whole[output.storage] = tensor
                    self._known_again(tensor, output.storage + blocks)
                else:
                    if old is None:
                        count = output.nbytes // output.dtype.itemsize
                        old = made(TensorLike((count,), (1,), output.dtype))
                        whole[output.storage] = old
                        self._known_again(old, output.storage + blocks)
                    tensor = another_view(old, output.size, output.stride, output.offset)
                found.append(tensor)
        whole.clear()
        for output, one in zip(known.outputs, found, strict=True):
            if output is not None and one is not None and output.first is None:
                if not output.alone:
                    keep_company(one)
                if is_alone(one) != output.alone:
                    raise NotRepeated
        return found

    def _known_again(self, tensor: torch.Tensor, index: int) -> None:
        block = self._blocks[index] = replace(self._blocks[index])
        storage = tensor.untyped_storage()
        key = storage._cdata
        if -(-storage.nbytes() // self._block_bytes) * self._block_bytes != block.nbytes:
            raise NotRepeated
        self._known[key] = (index, weakref.ref(storage, self._release(key, index)))
