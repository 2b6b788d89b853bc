"""The attributed memory pass: who holds which bytes, when, and why.

A ``TorchDispatchMode`` follows every storage from the operation that makes it to its release. What
a tensor was for is known only when it dies, so the live curve shows the category of birth, and
``finish`` relabels. Scratch memory inside operations is invisible here; ``kernels`` knows it, and
``allocator`` sees it.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Self

import torch
from torch.utils._python_dispatch import _disable_current_modes
from typing_extensions import override

from core.engine.problem import Problem
from core.engine.tangents import carries_tangents, is_moving
from core.measure.memory.accumulation import running_node, unwatched
from core.measure.memory.blocks import Block, Books, LedgerReport, Made, PhaseRecord
from core.measure.memory.calls import Call, call_of, only_shows
from core.measure.memory.curve import LedgerLog
from core.measure.memory.random_states import random_states_seen
from core.measure.watching import Watching
from core.results.events import MemorySamples, PhaseStarted

NO_LAYER = -1
_NO_PHASE = -1
_CPU = torch.device("cpu")


def _nothing_known(_: Call) -> int | None:
    return None


class PassCancelledError(Exception):
    """Raised inside the computation when the pass is to end."""


class Ledger(Watching):
    """Follows storages while it is entered; speaks the engine's ``Recorder`` language.

    Args:
        since_s: ``time.perf_counter()`` at second 0 of the run.
        device: whose memory is followed; a run on an accelerator keeps a little on the CPU too.
        block_bytes: the allocator rounds every storage up to a multiple of these (512 on CUDA).
    """

    def __init__(
        self, since_s: float, device: torch.device = _CPU, *, block_bytes: int = 1
    ) -> None:
        super().__init__()
        self._since_s = since_s
        self._device = device
        self._block_bytes = block_bytes
        self._log = LedgerLog()
        self._blocks: list[Block] = []
        self._made: list[tuple[int, int, int, int, tuple[int, int]]] = []
        self._calls: dict[Call, int] = {}
        self._known: dict[int, tuple[int, weakref.ref[torch.UntypedStorage]]] = {}
        self._live_bytes = 0
        self._baseline_bytes = 0
        self._born, self._layer, self._phase = "other", NO_LAYER, _NO_PHASE
        self._running: int | None = None
        self._running_since = 0
        self._sequence_starts: list[int] = []
        self._sequence_layers: list[int] = []
        self._phases: list[PhaseRecord] = []
        self._cancelled = threading.Event()
        self._closed = False
        self._entered = ExitStack()

    @override
    def __enter__(self) -> Self:
        # An accelerator's backward passes have a thread of their own, which numbers autograd nodes
        # from 0 again: their layers could not be told apart. So they run in the caller's thread.
        self._entered.enter_context(torch.autograd.set_multithreading_enabled(False))
        self._entered.enter_context(random_states_seen(self._track))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    @override
    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._entered.__exit__(*raised)

    # What the engine says.

    def register(
        self, category: str, tensors: Iterable[torch.Tensor], layer: int = NO_LAYER
    ) -> None:
        """Tensors that exist before the workload; they make up the baseline."""
        for tensor in tensors:
            self._track(tensor, category, layer)
        self._baseline_bytes = self._live_bytes

    def register_problem(self, problem: Problem) -> None:
        """All that a problem holds before its workload begins."""
        for name, tensor in (problem.parameters | problem.buffers).items():
            self.register("parameters", [tensor], layer=problem.stack.layer_of(name))
        self.register("data", problem.data)
        self.register("tangents", problem.own.values())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        record = PhaseRecord(name, self.now(), self._log.length, self._live_bytes)
        record.end_s = record.start_s
        self._phase = len(self._phases)
        self._phases.append(record)
        self._log.phase(name, record.start_s)
        yield
        record.end_s, record.end = self.now(), self._log.length
        record.end_bytes = self._live_bytes
        self._phase, self._born, self._layer = _NO_PHASE, "other", NO_LAYER

    def born(self, category: str) -> None:
        self._born = category

    def layer(self, index: int) -> None:
        self._layer = index
        self._mark_sequence(index)

    def hold(self, category: str, tensors: Iterable[torch.Tensor]) -> None:
        for part in (part for tensor in tensors for part in _strided(tensor)):
            # What compiled code has made, nobody has seen before.
            self._track(part, category)
            known = self._known.get(part.untyped_storage()._cdata)
            if known is not None and self._blocks[known[0]].held is None:
                self._blocks[known[0]].held = category

    def result(self, tensors: Iterable[torch.Tensor]) -> None:
        """Takes the norm unseen, so that looking does not change what is looked at."""
        with _disable_current_modes(), torch.no_grad():
            norm = _norm([_dense(tensor) for tensor in tensors])
        if self._phase != _NO_PHASE:
            self._phases[self._phase].norm = norm
            self._phases[self._phase].finite = math.isfinite(norm)

    def number(self, tensor: torch.Tensor) -> float | None:
        """Read unseen."""
        with _disable_current_modes():
            return float(tensor.item())

    # What torch says.

    @override
    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._cancelled.is_set():
            raise PassCancelledError
        layer = self._layer_of_operation()
        if only_shows(func):
            return self.answer(func, args, kwargs)
        instead = unwatched(func, args, kwargs, self._is_fresh)
        for argument in args:
            # A number that became a tensor on the way here, without the dispatcher.
            if isinstance(argument, torch.Tensor) and not argument.dim():
                self._track(argument, None, layer)
        if instead is not func and carries_tangents():
            # Terms of a tangent, which have none themselves, are added anew by torch too. The
            # result of others gets a tangent of its own; a tensor that has one already cannot.
            moving = any(isinstance(arg, torch.Tensor) and is_moving(arg) for arg in args)
            instead = instead if moving else func
            args = (args[0].detach(), *args[1:]) if moving else args
        func = instead
        call, first = call_of(func, args, kwargs), len(self._blocks)
        output = self.answer(func, args, kwargs, call)
        if _makes_storage(func):
            for tensor in _tensors(output):
                self._track(tensor, None, layer)
        number = self._calls.setdefault(call, len(self._calls))
        blocks = (first, len(self._blocks))
        self._made.append((self._log.length, number, layer, self._phase, blocks))
        return output

    def answer(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call | None = None
    ) -> Any:
        """What an operation returns.

        Args:
            func: an overload of one of torch's operations.
            args: its arguments.
            kwargs: those by name.
            call: all of it as a value, None where the operation only shows an argument.
        """
        del call
        return func(*args, **kwargs)

    def _layer_of_operation(self) -> int:
        """The layer of the forward, or of the forward whose backward runs.

        Every autograd node carries the number at which its forward ran; nodes that a backward makes
        continue the numbering, so the layer is handed on from order to order.
        """
        number = self._running_number()
        if number is None or self._layer != NO_LAYER:
            return self._layer
        position = bisect_right(self._sequence_starts, number) - 1
        layer = self._sequence_layers[position] if position >= 0 else NO_LAYER
        self._mark_sequence(layer)
        return layer

    def _running_number(self) -> int | None:
        """The number of the autograd node whose backward runs; notes where it began to."""
        node = running_node()
        number = None if node is None else node._sequence_nr()
        if number != self._running:
            self._running, self._running_since = number, len(self._blocks)
        return number

    def _is_fresh(self, tensor: torch.Tensor) -> bool:
        """Whether the node whose backward runs has itself made the tensor's memory."""
        if tensor.layout != torch.strided or tensor._is_zerotensor():
            return False
        known = self._known.get(tensor.untyped_storage()._cdata)
        return known is not None and known[0] >= self._running_since

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
            storage = part.untyped_storage()
            key = storage._cdata
            if key in self._known or part.device != self._device:
                continue
            index = len(self._blocks)
            nbytes = -(-storage.nbytes() // self._block_bytes) * self._block_bytes
            self._blocks.append(Block(nbytes, held or self._born, layer, self._phase, held))
            self._known[key] = (index, weakref.ref(storage, self._release(key, index)))
            self._live_bytes += nbytes
            self._log.change(self.now(), index, nbytes, held or self._born)

    def _release(self, key: int, index: int) -> Callable[[object], None]:
        def release(_: object) -> None:
            del self._known[key]
            if self._closed:
                return
            block = self._blocks[index]
            block.died_in = self._phase
            self._live_bytes -= block.nbytes
            self._log.change(self.now(), index, -block.nbytes, block.held or block.born)

        return release

    def now(self) -> float:
        """Seconds since the run started."""
        return time.perf_counter() - self._since_s

    # What the watcher asks.

    def cancel(self) -> None:
        """The next operation raises ``PassCancelledError``."""
        self._cancelled.set()

    def drain(self) -> Iterator[PhaseStarted | MemorySamples]:
        """What happened since the last call; may be called from another thread."""
        yield from self._log.drain()

    def calls(self) -> dict[Call, int]:
        """The operations that were called, and how often."""
        counts = Counter(number for _, number, *_ in self._made)
        return {call: counts[number] for call, number in self._calls.items()}

    def finish(self, scratch: Callable[[Call], int | None] = _nothing_known) -> LedgerReport:
        """Ends the log and names every byte by what it was for.

        Args:
            scratch: bytes that an operation allocates and frees within itself, None where nobody
                knows.
        """
        return self.books().report(scratch)

    def books(self) -> Books:
        """Ends the log and hands it over."""
        self.close()
        return Books(
            entries=self._log.entries(),
            blocks=self._blocks,
            made=[Made(*made) for made in self._made],
            calls=list(self._calls),
            phases=self._phases,
            baseline_bytes=self._baseline_bytes,
        )

    def close(self) -> None:
        """What happens from now on belongs to no run."""
        self._closed = True
        self._log.close()

    @property
    def alive_bytes(self) -> int:
        """What is alive now above the baseline."""
        return self._live_bytes - self._baseline_bytes

    def leaked(self) -> tuple[Block, ...]:
        """What the workload made and nobody has released."""
        return tuple(
            self._blocks[index]
            for index, _ in self._known.values()
            if self._blocks[index].born_in != _NO_PHASE
        )


@cache
def _makes_storage(func: Any) -> bool:
    """False for views and in-place operations, whose outputs all alias an argument."""
    return any(value.alias_info is None for value in func._schema.returns)


def _strided(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors that own memory: a sparse tensor is its indices and its values, and the zeros
    that stand for a missing tangent or gradient are no numbers at all."""
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    return () if tensor._is_zerotensor() else (tensor,)


def _norm(tensors: Sequence[torch.Tensor]) -> float:
    """The Euclidean norm of all entries, not finite where one is not."""
    # On the CPU: Apple's devices have no doubles, and others may have no room for them.
    doubles = [tensor.cpu().double() for tensor in tensors if tensor.numel()]
    # torch's maximum of numbers with a NaN among them is NaN, Python's is not.
    maxima = [float(tensor.abs().max()) for tensor in doubles]
    if any(map(math.isnan, maxima)):
        return math.nan
    largest = max(maxima, default=0.0)
    if largest == 0 or math.isinf(largest):
        return largest
    # Scaled, since the squares of large numbers are infinite.
    return largest * math.sqrt(sum(float((t / largest).square().sum()) for t in doubles))


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def _tensors(output: object) -> Sequence[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return (output,)
    if isinstance(output, tuple | list):
        return [tensor for item in output for tensor in _tensors(item)]
    return ()
