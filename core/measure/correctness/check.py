"""Whether what a run computes is right: the engine's own path against a second, independent way.

On a small copy of the run in 64 bits the engine computes its result, mitigations included. The
same derivative is then computed from layers and loops that share no code with the engine, without
mitigations, and every one of its orders is compared with central differences of the order below,
which know nothing of differentiation. All of it happens at a random point near the run's own, where
no weight is a special number and no input sits on a kink.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from core.measure.correctness.checks.checking import Checking
from core.measure.correctness.checks.reduced import reduced
from core.measure.correctness.checks.unavailable import CheckUnavailable
from core.measure.machine.devices import resolve
from core.results.measurement import Check
from core.spec.run import RunSpec

__all__ = ["CheckUnavailable", "check"]

_CPU = torch.device("cpu")


def check(spec: RunSpec, device: torch.device | None = None) -> Check:
    """Compares the engine's result for a small copy of a run with an independent computation.

    Leaves torch's random numbers as they were.

    Args:
        spec: a run without problems.
        device: where to compute; the spec's where left out. Apple's GPU has no 64-bit numbers, so
            that the CPU stands in for it.

    Raises:
        CheckUnavailable: the run is too large for a copy, or the copy did not give finite numbers.
    """
    on = resolve(spec.device) if device is None else device
    remarks: tuple[str, ...] = ()
    if on.type == "mps":
        on, remarks = _CPU, ("on the CPU, since this GPU has no float64",)
    copy = reduced(spec)
    if copy is None:
        raise CheckUnavailable(
            "The result was not checked: even a small copy of this run would take too long."
        )
    try:
        with same_random_numbers_afterwards(on), torch.enable_grad():
            return Checking(copy, on).outcome(*remarks)
    except CheckUnavailable:
        raise
    except Exception as error:  # a copy that fails is no reason to lose the run's figures
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise CheckUnavailable(f"The result was not checked: {reason}.") from error


@contextlib.contextmanager
def same_random_numbers_afterwards(device: torch.device) -> Iterator[None]:
    """While it is entered, random numbers are drawn that are drawn again afterwards."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=()):
            yield
    else:
        devices = range(torch.accelerator.device_count())
        with torch.random.fork_rng(devices, device_type=device.type):
            yield
