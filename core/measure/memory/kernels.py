"""What single operations cost: scratch memory that no tensor shows, and time.

Both depend on the operation, its shapes, strides and types, the device, the number of threads and
torch's version alone, so each is learned once, by running the operation on made-up numbers. A time
is only as good as the machine was quiet: the smaller of two is kept, and what a run contradicts is
learned again.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from core.measure.machine.devices import describe
from core.measure.memory.alone import (
    Allocated,
    allocated_by,
    alone,
    in_groups,
    made_small,
    seconds_of,
)
from core.measure.memory.calls import Call
from core.measure.memory.work import work

FILE_NAME = "kernels.jsonl"
LARGEST_BYTES = 2**30
"""Operations on more than this are not run for the sake of a forecast."""

MOST_WORK = {"cpu": 5e10}
MOST_WORK_ELSEWHERE = 1e13
"""Nor are those that would take a second or more: floating-point operations by kind of device."""

LONGEST_FILE_BYTES = 16 * 2**20
_MOST_FOUND = 100_000

AGAIN_AFTER_S = 60.0
"""No operation is learned again sooner: a forecast may be wrong for reasons of its own."""

COMPANY = 8
"""Operations that take turns at least, where as many have been timed."""


@dataclass(frozen=True)
class Kernel:
    """What one operation costs when it runs alone.

    Attributes:
        scratch_bytes: highest total while it runs, beyond what it returns.
        seconds: of one warm call.
        returned_bytes: of each storage that it makes and returns, which may be larger than its
            tensor; None where they are as large as their tensors.
        again_at: when its time was learned again, in seconds since 1970; None where it never was.
    """

    scratch_bytes: int
    seconds: float
    returned_bytes: tuple[int, ...] | None = None
    again_at: float | None = None


class Kernels:
    """What is known of operations on one device, kept in a file that processes share.

    Args:
        device: where operations run.
        threads: how many threads they run on.
        file: None keeps nothing.

    Attributes:
        revision: another one whenever something known has changed, so that what was made of it no
            longer holds.
    """

    def __init__(self, device: torch.device, threads: int, file: Path | None = None) -> None:
        self._device = device
        self._where = f"{torch.__version__} {device.type} {threads} {describe(device).title}"
        self._file = file
        self._known: dict[str, Kernel] = {}
        self._found: dict[Call, Kernel] = {}
        self._allocated: dict[Call, Allocated | None] = {}
        self._company: list[Call] = []
        self._failed: set[str] = set()
        self._timed: dict[str, float | None] = {}
        self._read = 0
        self._inode: int | None = None
        self.revision = 0
        self._start_over_when_too_long()
        self.refresh()

    def _start_over_when_too_long(self) -> None:
        """What was learned of configurations long gone is not read for ever."""
        with suppress(OSError):
            if self._file is not None and self._file.stat().st_size > LONGEST_FILE_BYTES:
                self._file.unlink()

    def refresh(self) -> None:
        """Reads what other processes have learned since."""
        if self._file is None:
            return
        with suppress(OSError), self._file.open("rb") as stream:
            self._find_place(os.fstat(stream.fileno()))
            stream.seek(self._read)
            content = stream.read()
            # The last line may be half written.
            whole = content[: content.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                self._add(line)

    def _find_place(self, file: os.stat_result) -> None:
        """Another process may have started over with another file."""
        if file.st_ino != self._inode or file.st_size < self._read:
            self._inode, self._read = file.st_ino, 0

    def _add(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["where"] == self._where:
                returned, again_at = entry["returned_bytes"], entry.get("again_at")
                kernel = Kernel(
                    int(entry["scratch_bytes"]),
                    float(entry["seconds"]),
                    None if returned is None else tuple(map(int, returned)),
                    None if again_at is None else float(again_at),
                )
                self._take(str(entry["call"]), kernel)

    def _take(self, key: str, kernel: Kernel) -> None:
        """Of two processes that learned the same, the one on the busier machine took longer."""
        before = self._known.get(key)
        if before is not None and kernel.again_at is None and before.seconds <= kernel.seconds:
            return
        self._known[key] = kernel
        if before is not None and before != kernel:
            self.revision += 1
            self._found.clear()
            self._timed.clear()

    def known(self, call: Call) -> Kernel | None:
        """What is known of an operation, None where nothing is."""
        kernel = self._found.get(call)
        if kernel is None:
            kernel = self._known.get(call.key)
            if kernel is not None and len(self._found) < _MOST_FOUND:
                self._found[call] = kernel
        return kernel

    def learn(self, calls: Iterable[Call], budget_s: float = math.inf) -> tuple[Call, ...]:
        """Runs what is not known yet, each operation alone.

        Args:
            calls: in any number.
            budget_s: no further operation is begun after these seconds.

        Returns:
            What is still not known, for want of time or because it cannot run alone.
        """
        end = time.perf_counter() + budget_s
        missing = {call.key: call for call in calls if self.known(call) is None}
        learned: dict[str, Kernel] = {}
        with alone():
            timed = self._timed_until(end, missing)
            self._learn_allocations([missing[key] for key in timed])
        for key, seconds in timed.items():
            kernel = self._kernel(missing[key], seconds)
            if kernel is not None:
                learned[key] = kernel
        self._failed |= timed.keys() - learned.keys()
        self._keep(learned)
        return tuple(call for key, call in missing.items() if key not in learned)

    def learn_again(
        self, calls: Mapping[Call, int], budget_s: float = math.inf, *, may_be_longer: bool
    ) -> None:
        """Times operations anew whose times a run has contradicted; their bytes stay.

        Args:
            calls: how often each is called; those that matter most come first.
            budget_s: no further operation is begun after these seconds.
            may_be_longer: whether a longer time takes the place of a shorter one, which is for a
                run that nothing has disturbed to say.
        """
        end, now = time.perf_counter() + budget_s, datetime.now(UTC).timestamp()
        known = [(call, count, self.known(call)) for call, count in calls.items()]
        due = {
            call.key: (call, kernel, count * kernel.seconds)
            for call, count, kernel in known
            if kernel is not None and not _is_fresh(kernel, now)
        }
        by_share = sorted(due, key=lambda key: due[key][2], reverse=True)
        with alone():
            timed = self._timed_until(end, {key: due[key][0] for key in by_share})
        learned: dict[str, Kernel] = {}
        for key, taken in timed.items():
            kernel = due[key][1]
            seconds = _rounded(taken if may_be_longer else min(taken, kernel.seconds))
            learned[key] = replace(kernel, seconds=seconds, again_at=round(now, 3))
        self._keep(learned)

    def _keep(self, learned: dict[str, Kernel]) -> None:
        for key, kernel in learned.items():
            self._take(key, kernel)
        self._write(learned)

    def _timed_until(self, end: float, missing: dict[str, Call]) -> dict[str, float]:
        timed: dict[str, float] = {}
        untried = {key: call for key, call in missing.items() if key not in self._failed}
        large = {key for key, call in untried.items() if self._too_large(call)}
        self._failed |= large
        for group in in_groups(call for key, call in untried.items() if key not in large):
            if time.perf_counter() > end:
                break
            for call, seconds in self._in_turns(group):
                if seconds is None:
                    self._failed.add(call.key)
                else:
                    timed[call.key] = seconds
        return timed

    def _in_turns(self, group: list[Call]) -> Iterator[tuple[Call, float | None]]:
        """Few take turns with those before them."""
        company = self._company[: COMPANY - len(group)] if len(group) < COMPANY else []
        yield from zip(group, seconds_of(group, self._device, company), strict=True)
        if len(group) >= len(self._company):
            self._company = group[:COMPANY]

    def _learn_allocations(self, calls: Iterable[Call]) -> None:
        new = [
            small for small in dict.fromkeys(map(made_small, calls)) if small not in self._allocated
        ]
        if new:
            self._allocated |= zip(new, allocated_by(new, self._device), strict=True)

    def _kernel(self, call: Call, seconds: float) -> Kernel | None:
        small = made_small(call)
        allocated = self._allocated[small]
        if allocated is None:
            return None
        # Storages of small tensors say nothing of those of large ones.
        returned = allocated.returned_bytes if small is call else None
        return Kernel(allocated.scratch_bytes, _rounded(seconds), returned)

    def time(self, calls: Iterable[Call]) -> None:
        """Runs what is not known yet, for ``seconds``; it is not kept."""
        unknown = [
            call for call in calls if self.known(call) is None and call.key not in self._timed
        ]
        with alone():
            for group in in_groups(unknown):
                self._timed |= {call.key: seconds for call, seconds in self._in_turns(group)}

    def seconds(self, call: Call) -> float | None:
        """What an operation takes alone, None where nobody asked for it to be timed or it cannot
        run alone."""
        kernel = self.known(call)
        return self._timed.get(call.key) if kernel is None else kernel.seconds

    def impossible(self, call: Call) -> bool:
        """Whether it was tried and cannot run alone."""
        return call.key in self._failed

    def _too_large(self, call: Call) -> bool:
        most = MOST_WORK.get(self._device.type, MOST_WORK_ELSEWHERE)
        nbytes = sum(tensor.nbytes for tensor in call.tensors())
        return nbytes > LARGEST_BYTES or work(call) > most

    def _write(self, learned: dict[str, Kernel]) -> None:
        if self._file is None or not learned:
            return
        lines = [
            json.dumps(
                {
                    "where": self._where,
                    "call": key,
                    "scratch_bytes": kernel.scratch_bytes,
                    "seconds": kernel.seconds,
                    "returned_bytes": kernel.returned_bytes,
                }
                | ({} if kernel.again_at is None else {"again_at": kernel.again_at})
            )
            + "\n"
            for key, kernel in learned.items()
        ]
        # One write at the end of the file, so that processes do not mix their lines. What cannot
        # be kept is learned again.
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, "".join(lines).encode())
            finally:
                os.close(descriptor)


def _rounded(seconds: float) -> float:
    """As the file holds it, so that what a process reads again of its own is nothing new."""
    return float(f"{seconds:.4g}")


def _is_fresh(kernel: Kernel, now: float) -> bool:
    # Either way: the record is rounded, and clocks are set back.
    return kernel.again_at is not None and abs(now - kernel.again_at) < AGAIN_AFTER_S
