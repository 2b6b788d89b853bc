"""What can be said of a run before it begins: its cost, what would fail or be wrong, and what a
model of the user's own is like."""

from __future__ import annotations

import torch

from core.engine.user_file import UserFileError
from core.engine.user_trial import completed
from core.home import home
from core.measure.correctness.preflight import preflight
from core.measure.forecasting.forecast import LEARN_S, Forecaster
from core.measure.machine.devices import describe
from core.measure.memory.kernels import FILE_NAME, Kernels
from core.results.forecast import DeviceMemory, Outlook
from core.results.inspection import InspectedModule, Inspection
from core.spec.declaration import InvalidSpec
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.spec.size import least_bytes

COMES_WITH_THE_RUN = (
    "A model of your own is loaded by nothing but the run, so its forecast comes with the run."
)


def outlook(
    spec: RunSpec,
    on: DeviceMemory | None = None,
    learn_s: float = LEARN_S,
    *,
    loads_files: bool = False,
) -> Outlook:
    """A forecast and the findings of preflight.

    Args:
        spec: a run without problems.
        on: memory to fit into instead of this machine's.
        learn_s: seconds to spend on operations that are not known yet.
        loads_files: whether the user's own file may be run here, which can do anything to this
            process.

    Raises:
        core.spec.declaration.InvalidSpec: this machine has no such device.
    """
    if isinstance(spec.model, PythonModel):
        if not loads_files:
            return Outlook(forecast=None, absent=COMES_WITH_THE_RUN)
        try:
            spec = completed(spec)
        except UserFileError as error:
            return Outlook(forecast=None, absent=str(error))
        problems = spec.problems()
        if problems:
            raise InvalidSpec(problems)
    seen = forecaster.outlook(spec, on, learn_s)
    return seen.model_copy(update={"findings": preflight(spec)})


def least_refusal(spec: RunSpec, device: torch.device) -> str | None:
    """Why a run is certainly too large for a device, None where it may fit."""
    least, available = least_bytes(spec), describe(device).available_bytes
    if least is None or available is None or least.total <= available:
        return None
    return least.refusal(available, str(device))


def inspect(spec: RunSpec) -> Inspection:
    """Loads the file of a spec, makes its module and computes a first output.

    Args:
        spec: with a model of the user's own.
    """
    try:
        known = completed(spec)
    except UserFileError as error:
        return Inspection(fault=str(error))
    model = known.model
    assert isinstance(model, PythonModel)
    assert model.known is not None
    problems = known.problems()
    return Inspection(
        modules=tuple(
            InspectedModule(
                name=row.layer.kind,
                output_shape=row.output_shape,
                parameters=row.parameters or 0,
            )
            for row in model.trace()
        ),
        output_shape=model.output_shape,
        has_loss=model.known.has_loss,
        has_step=model.known.has_step,
        fault=" ".join(problem.sentence for problem in problems) or None,
    )


def known_kernels(device: torch.device, threads: int) -> Kernels:
    """What this user's runs and forecasts have learned of operations."""
    return Kernels(device, threads, home() / FILE_NAME)


forecaster = Forecaster(known_kernels)
"""One for the whole process: it keeps what it has read and learned."""
