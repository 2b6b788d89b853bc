"""The attributed memory pass: who holds which bytes, when, and why.

A ``TorchDispatchMode`` follows every storage from the operation that makes it to its release. What
a tensor was for is known only when it dies, so the live curve shows the category of birth, and
``finish`` relabels. Scratch memory inside operations is invisible here; ``allocator`` sees it.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from typing_extensions import override

from core.measure.curve import Curve, LedgerLog
from core.results.categories import CATEGORIES
from core.results.events import MemorySamples, PhaseStarted
from core.results.memory_timeline import MemoryTimeline, PhaseSpan

NO_LAYER = -1
_NO_PHASE = -1
_ADD = torch.ops.aten.add.Tensor
_CPU = torch.device("cpu")


class PassCancelledError(Exception):
    """Raised inside the computation when the pass is to end."""


@dataclass
class Block:
    """One storage.

    Attributes:
        born: category at birth.
        held: category that the engine names, None while it names none.
        layer: index of the layer whose forward or backward made it.
        born_in, died_in: positions of phases; ``died_in`` is None while it lives.
    """

    nbytes: int
    born: str
    layer: int
    born_in: int
    held: str | None = None
    died_in: int | None = None

    @property
    def category(self) -> str:
        """What it was for, once its fate is known."""
        if self.held is not None:
            return self.held
        if self.died_in is not None and self.died_in == self.born_in:
            return "temporaries"
        return self.born


@dataclass(frozen=True)
class LedgerPhase:
    """A phase as the ledger saw it; bytes above the baseline.

    Attributes:
        result_norm: None where the phase named no result, or one that is not finite.
    """

    name: str
    peak_bytes: int
    retained_bytes: int
    result_norm: float | None
    result_is_finite: bool


@dataclass(frozen=True)
class LedgerReport:
    """What the pass found.

    Attributes:
        baseline_bytes: registered before the workload.
        peak_bytes: highest total above the baseline.
        by_category: live bytes at that moment; sums to baseline + peak.
        by_layer: live bytes at that moment by layer index.
    """

    baseline_bytes: int
    peak_bytes: int
    by_category: dict[str, int]
    by_layer: dict[int, int]
    phases: tuple[LedgerPhase, ...]
    timeline: MemoryTimeline


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows storages while it is entered; speaks the engine's ``Recorder`` language.

    Args:
        since_s: ``time.perf_counter()`` at second 0 of the run.
        device: whose memory is followed; a run on an accelerator keeps a little on the CPU too.
    """

    def __init__(self, since_s: float, device: torch.device = _CPU) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._since_s = since_s
        self._device = device
        self._log = LedgerLog()
        self._blocks: list[Block] = []
        self._known: dict[int, tuple[int, weakref.ref[torch.UntypedStorage]]] = {}
        self._live_bytes = 0
        self._baseline_bytes = 0
        self._born, self._layer, self._phase = "other", NO_LAYER, _NO_PHASE
        self._sequence_starts: list[int] = []
        self._sequence_layers: list[int] = []
        self._spans: list[PhaseSpan] = []
        self._reports: list[LedgerPhase] = []
        self._phase_peak = 0
        self._norm: float | None = None
        self._finite = True
        self._cancelled = threading.Event()

    @classmethod
    @override
    def _should_skip_dynamo(cls) -> bool:
        """WORKAROUND: true, the default, loads torch._dynamo at the first operation: a second."""
        return False

    @override
    def __enter__(self) -> Self:
        # An accelerator's backward passes have a thread of their own, which numbers autograd nodes
        # from 0 again: their layers could not be told apart. So they run in the caller's thread.
        self._one_thread = torch.autograd.set_multithreading_enabled(False)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    @override
    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._one_thread.__exit__(*raised)

    # What the engine says.

    def register(
        self, category: str, tensors: Iterable[torch.Tensor], layer: int = NO_LAYER
    ) -> None:
        """Tensors that exist before the workload; they make up the baseline."""
        for tensor in tensors:
            self._track(tensor, category, layer)
        self._baseline_bytes = self._live_bytes

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start_s, start_bytes = self._now(), self._live_bytes
        self._phase = len(self._spans)
        self._spans.append(PhaseSpan(name=name, start_s=start_s, end_s=start_s))
        self._phase_peak = self._live_bytes
        self._norm, self._finite = None, True
        self._log.phase(name, start_s)
        yield
        self._spans[-1] = PhaseSpan(name=name, start_s=start_s, end_s=self._now())
        self._reports.append(
            LedgerPhase(
                name=name,
                peak_bytes=self._phase_peak - self._baseline_bytes,
                retained_bytes=self._live_bytes - start_bytes,
                result_norm=self._norm,
                result_is_finite=self._finite,
            )
        )
        self._phase, self._born, self._layer = _NO_PHASE, "other", NO_LAYER

    def born(self, category: str) -> None:
        self._born = category

    def layer(self, index: int) -> None:
        self._layer = index
        self._mark_sequence(index)

    def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
        for part in (part for tensor in tensors for part in _strided(tensor)):
            known = self._known.get(part.untyped_storage()._cdata)
            if known is not None and self._blocks[known[0]].held is None:
                self._blocks[known[0]].held = category

    def result(self, tensors: Iterable[torch.Tensor]) -> None:
        """Takes the norm unseen, so that looking does not change what is looked at."""
        with _disable_current_modes(), torch.no_grad():
            norm = _norm([_dense(tensor) for tensor in tensors])
        self._finite = math.isfinite(norm)
        self._norm = norm if self._finite else None

    # What torch says.

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        if self._cancelled.is_set():
            raise PassCancelledError
        layer = self._layer_of_operation()
        if func is _ADD and _accumulates_in_place(args, kwargs):
            output = args[0].add_(args[1])
        else:
            output = func(*args, **(kwargs or {}))
        if _makes_storage(func):
            for tensor in _tensors(output):
                self._track(tensor, None, layer)
        return output

    def _layer_of_operation(self) -> int:
        """The layer of the forward, or of the forward whose backward runs.

        Every autograd node carries the number at which its forward ran; nodes that a backward makes
        continue the numbering, so the layer is handed on from order to order.
        """
        node = _running_node()
        if node is None or self._layer != NO_LAYER:
            return self._layer
        position = bisect_right(self._sequence_starts, node._sequence_nr()) - 1
        layer = self._sequence_layers[position] if position >= 0 else NO_LAYER
        self._mark_sequence(layer)
        return layer

    def _mark_sequence(self, layer: int) -> None:
        if self._sequence_layers and self._sequence_layers[-1] == layer:
            return
        number = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        if self._sequence_starts and self._sequence_starts[-1] == number:
            self._sequence_layers[-1] = layer
        else:
            self._sequence_starts.append(number)
            self._sequence_layers.append(layer)

    def _track(self, tensor: torch.Tensor, held: str | None = None, layer: int = NO_LAYER) -> None:
        for part in _strided(tensor):
            if part.device != self._device:
                continue
            storage = part.untyped_storage()
            key = storage._cdata
            if key in self._known:
                continue
            index = len(self._blocks)
            nbytes = storage.nbytes()
            self._blocks.append(Block(nbytes, held or self._born, layer, self._phase, held))
            self._known[key] = (index, weakref.ref(storage, self._release(key, index)))
            self._live_bytes += nbytes
            self._phase_peak = max(self._phase_peak, self._live_bytes)
            self._log.change(self._now(), index, nbytes, held or self._born)

    def _release(self, key: int, index: int) -> Callable[[object], None]:
        def release(_: object) -> None:
            block = self._blocks[index]
            block.died_in = self._phase
            self._live_bytes -= block.nbytes
            del self._known[key]
            self._log.change(self._now(), index, -block.nbytes, block.held or block.born)

        return release

    def _now(self) -> float:
        return time.perf_counter() - self._since_s

    # What the watcher asks.

    def cancel(self) -> None:
        """The next operation raises ``PassCancelledError``."""
        self._cancelled.set()

    def drain(self) -> Iterator[PhaseStarted | MemorySamples]:
        """What happened since the last call; may be called from another thread."""
        yield from self._log.drain()

    def finish(self) -> LedgerReport:
        """Ends the log and names every byte by what it was for."""
        entries = self._log.entries()
        self._log.close()
        curve = Curve.of(entries, [block.category for block in self._blocks])
        peak = curve.peak_position()
        at_peak = self._alive(entries, curve.entry_at(peak))
        by_category = dict.fromkeys(CATEGORIES, 0)
        by_layer: dict[int, int] = {}
        for block in at_peak:
            by_category[block.category] += block.nbytes
            by_layer[block.layer] = by_layer.get(block.layer, 0) + block.nbytes
        thinned = curve.thinned()
        return LedgerReport(
            baseline_bytes=self._baseline_bytes,
            peak_bytes=sum(by_category.values()) - self._baseline_bytes,
            by_category={name: count for name, count in by_category.items() if count},
            by_layer=by_layer,
            phases=tuple(self._reports),
            timeline=MemoryTimeline(
                t_s=thinned.t_s, columns=thinned.columns(), phases=tuple(self._spans)
            ),
        )

    def _alive(self, entries: list[tuple[float, int, int, str]], last: int) -> list[Block]:
        alive: set[int] = set()
        for _, index, change, _ in entries[: last + 1]:
            (alive.add if change > 0 else alive.discard)(index)
        return [self._blocks[index] for index in alive]


def _accumulates_in_place(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> bool:
    """True where autograd would have added into its buffer, had no mode been active.

    WORKAROUND: torch/csrc/autograd/input_buffer.cpp adds out of place under any dispatch mode, so
    the mode would change what it measures. An operand that nobody else holds is counted 4 times
    here (buffer, stack, wrapper, argument), its storage twice, and Python knows it by ``args``
    alone: what a custom backward still holds must not be written to. Tests compare with the
    allocator, and results with those of an unwatched pass.
    """
    if torch.is_grad_enabled() or kwargs or len(args) != 2:
        return False
    if _running_node() is None or _references(args) > _HELD_BY_DISPATCH_ALONE:
        return False
    old, new = args
    return (
        isinstance(old, torch.Tensor)
        and isinstance(new, torch.Tensor)
        and old.layout == new.layout == torch.strided
        and old.shape == new.shape
        and old.dtype == new.dtype
        and old._use_count() <= _EXCLUSIVE_TENSOR  # type: ignore[attr-defined]
        and torch._C._storage_Use_Count(old.untyped_storage()._cdata) <= _EXCLUSIVE_STORAGE
    )


def _references(args: tuple[Any, ...]) -> int:
    """Python's own references to the first argument."""
    first = args[0]
    return sys.getrefcount(first)


_EXCLUSIVE_TENSOR = 4
_EXCLUSIVE_STORAGE = 2
_HELD_BY_DISPATCH_ALONE = _references((object(),)) + 1
"""By the arguments, and by torch while it calls."""


@cache
def _makes_storage(func: Any) -> bool:
    """False for views and in-place operations, whose outputs all alias an argument."""
    return any(value.alias_info is None for value in func._schema.returns)


def _running_node() -> Any:
    """The autograd node whose backward runs, None outside of one."""
    return torch._C._current_autograd_node()


def _strided(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors that own memory: a sparse tensor is its indices and its values."""
    if tensor.layout == torch.sparse_coo:
        yield tensor._indices()
        yield tensor._values()
    else:
        yield tensor


def _norm(tensors: Sequence[torch.Tensor]) -> float:
    """The Euclidean norm of all entries, not finite where one is not."""
    # On the CPU: Apple's devices have no doubles, and others may have no room for them.
    doubles = [tensor.cpu().double() for tensor in tensors if tensor.numel()]
    largest = max((float(tensor.abs().max()) for tensor in doubles), default=0.0)
    if any(bool(tensor.isnan().any()) for tensor in doubles):
        return math.nan
    if largest == 0 or math.isinf(largest):
        return largest
    # Scaled, since the squares of large numbers are infinite.
    return largest * math.sqrt(sum(float((t / largest).square().sum()) for t in doubles))


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def _tensors(output: object) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for item in output:
            yield from _tensors(item)
