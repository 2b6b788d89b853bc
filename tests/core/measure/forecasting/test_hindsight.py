"""A time that a run contradicts is learned again, unless the machine was too busy to tell."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

import core.measure.forecasting.forecast as forecast_module
import core.measure.memory.kernels as kernels_module
import core.runner as runner_module
from core.measure.forecasting.forecast import Forecaster
from core.measure.forecasting.hindsight import Contradiction, Taken, contradiction, look_back
from core.measure.forecasting.prediction import predict
from core.measure.memory.calls import Call
from core.measure.memory.kernels import FILE_NAME, Kernels
from core.measure.timing.clock import Clock
from core.measure.timing.conditions import ConditionsWatch
from core.results.conditions import Conditions
from core.results.events import Finished
from core.results.forecast import Forecast
from core.results.measurement import Measurement
from core.runner import run
from core.spec.run import RunSpec
from tests.core.measure.memory.exactness import CPU, PATIENT_S
from tests.core.measure.memory.test_kernels import CONVOLUTION, PRODUCT

ALONE_S = 0.001
"""What every operation takes alone on the machine of these tests, which has no other cost."""

QUIET = Conditions(cores=2, other_cores=0.0, stolen_cores=0.0, throttled=False)
SPEC = RunSpec.from_json(
    json.dumps(
        {
            "model": {
                "input_shape": [3, 6, 6],
                "layers": [
                    {"kind": "conv2d", "out_channels": 4, "kernel_size": 3},
                    {"kind": "tanh"},
                    {"kind": "flatten"},
                    {"kind": "linear"},
                ],
            },
            "data": {"kind": "synthetic", "batch_size": 8},
            "workload": {"kind": "nested_gradient", "order": 2},
            "measure": {"repetitions": 10, "warmup": 1},
            "device": "cpu",
        }
    )
)
RIGHT_S = ALONE_S * len(predict(SPEC, CPU).made)


class Machine:
    """One whose times are known.

    Attributes:
        file: what was learned.
        samples_s: what repetitions take, over and over.
        conditions: meanwhile.
        timed: how many operations have been run alone.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.samples_s: Sequence[float] = [RIGHT_S]
        self.conditions = QUIET
        self.timed = 0
        self._repetitions = 0

    def seconds_of(self, calls: list[Call], *_: object) -> list[float]:
        self.timed += len(calls)
        return [ALONE_S] * len(calls)

    def once(self, clock: Clock) -> float:
        clock.reset()
        self._repetitions += 1
        return self.samples_s[self._repetitions % len(self.samples_s)]

    def forecaster(self) -> Forecaster:
        """That of another process."""
        return Forecaster(lambda device, threads: Kernels(device, threads, self.file))

    def run(self) -> Measurement:
        """In a process of its own."""
        runner_module.forecaster = self.forecaster()
        finished = list(run(SPEC))[-1]
        assert isinstance(finished, Finished)
        return finished.result

    def foretold(self, forecaster: Forecaster | None = None) -> Forecast:
        seen = (forecaster or self.forecaster()).outlook(SPEC, learn_s=PATIENT_S).forecast
        assert seen is not None
        assert seen.exact
        return seen

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def spoil(self, factor: float) -> None:
        """As if all had been learned at another speed."""
        lines = [line | {"seconds": line["seconds"] * factor} for line in self.lines()]
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """One that has learned all operations of the run."""
    made = Machine(tmp_path / FILE_NAME)
    monkeypatch.setattr(runner_module, "forecaster", made.forecaster())
    monkeypatch.setattr(kernels_module, "seconds_of", made.seconds_of)
    monkeypatch.setattr(forecast_module, "overhead_s", lambda *_: 0.0)
    monkeypatch.setattr(Clock, "once", lambda clock: made.once(clock))
    monkeypatch.setattr(Clock, "with_phases", lambda clock: (made.once(clock), ()))
    monkeypatch.setattr(ConditionsWatch, "finish", lambda _: made.conditions)
    assert made.foretold().seconds == pytest.approx(RIGHT_S)
    return made


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_that_one_run_corrects_a_wrong_time(machine: Machine, factor: float) -> None:
    right = machine.foretold()
    machine.spoil(factor)
    result = machine.run()
    assert result.forecast is not None
    assert result.time is not None
    assert result.forecast.seconds == pytest.approx(factor * RIGHT_S)
    assert machine.foretold().seconds == pytest.approx(result.time.median_s, rel=0.3)
    after = machine.foretold()
    assert (after.peak_bytes, after.by_category) == (right.peak_bytes, right.by_category)


def test_that_bytes_of_what_is_learned_again_stay(machine: Machine) -> None:
    before = {line["call"]: line for line in machine.lines()}
    machine.spoil(5.0)
    machine.run()
    again = [line for line in machine.lines() if "again_at" in line]
    assert {line["call"] for line in again} == before.keys()
    assert any(line["scratch_bytes"] for line in again)
    for line in again:
        old = before[line["call"]]
        for name in ("scratch_bytes", "returned_bytes", "where"):
            assert line[name] == old[name]


def test_that_a_busy_machine_is_no_excuse_for_too_long_a_time(machine: Machine) -> None:
    machine.spoil(5.0)
    machine.conditions = Conditions(cores=2, other_cores=2.0)
    machine.samples_s = [2 * RIGHT_S, 3 * RIGHT_S]
    machine.run()
    assert machine.foretold().seconds == pytest.approx(RIGHT_S)


def test_that_what_takes_longer_on_a_busy_machine_does_not_replace_what_is_known(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One operation is ten times too slow in the file, and all are learned again twice as slow."""
    slowest = machine.lines()[0] | {"seconds": 10 * RIGHT_S, "again_at": 0.0}
    with machine.file.open("a") as stream:
        stream.write(json.dumps(slowest) + "\n")
    busy: Callable[..., list[float]] = lambda calls, *_: [2 * ALONE_S] * len(calls)  # noqa: E731
    monkeypatch.setattr(kernels_module, "seconds_of", busy)
    machine.run()
    seconds = [line["seconds"] for line in machine.lines() if line.get("again_at")]
    assert sorted(set(seconds)) == [ALONE_S, 2 * ALONE_S]
    assert seconds.count(2 * ALONE_S) == 1


@pytest.mark.parametrize(
    ("samples", "conditions"),
    [
        ([3.0], Conditions(cores=2, other_cores=2.0)),
        ([3.0], Conditions(cores=2, other_cores=0.0, stolen_cores=0.2)),
        ([3.0], QUIET.model_copy(update={"throttled": True})),
        ([2.0, 6.0], QUIET),
        ([1.4], QUIET),
        ([0.7], QUIET),
    ],
    ids=["others", "host", "heat", "unsteady", "little slower", "little faster"],
)
def test_that_right_times_are_not_disturbed(
    machine: Machine, samples: list[float], conditions: Conditions
) -> None:
    machine.samples_s = [share * RIGHT_S for share in samples]
    machine.conditions = conditions
    before, timed = machine.file.read_bytes(), machine.timed
    machine.run()
    assert machine.file.read_bytes() == before
    assert machine.timed == timed


def test_that_a_forecaster_that_has_answered_before_corrects_itself(machine: Machine) -> None:
    machine.spoil(5.0)
    window = machine.forecaster()
    assert machine.foretold(window).seconds == pytest.approx(5 * RIGHT_S)
    machine.run()
    assert machine.foretold(window).seconds == pytest.approx(RIGHT_S)


def test_that_what_learning_again_does_not_mend_is_not_learned_at_every_run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations may take longer together than alone."""
    machine.samples_s = [2 * RIGHT_S]
    operations = len(machine.lines())
    for expected in (operations, operations):
        machine.run()
        assert len([line for line in machine.lines() if "again_at" in line]) == expected
    monkeypatch.setattr(kernels_module, "AGAIN_AFTER_S", 0.0)
    machine.run()
    assert len([line for line in machine.lines() if "again_at" in line]) == 2 * operations


@pytest.mark.parametrize(
    ("foretold_s", "expected"),
    [
        (1.6, Contradiction.FORETOLD_TOO_LONG),
        (1.4, None),
        (0.7, None),
        (0.6, Contradiction.FORETOLD_TOO_SHORT),
    ],
)
def test_that_what_is_promised_is_no_contradiction(
    foretold_s: float, expected: Contradiction | None
) -> None:
    assert contradiction(foretold_s, Taken([1.0] * 10, None, 1)) is expected


@pytest.mark.parametrize(("alone_s", "expected"), [(0.1, 0), (2.0, 1)])
def test_that_iterations_that_were_not_needed_are_no_contradiction(
    alone_s: float, expected: int
) -> None:
    """Conjugate gradients may end early: then the operations of the run itself decide."""
    early = SPEC.with_changes({"workload": {"kind": "newton", "method": "cg"}})
    assert early.workload.may_end_early
    asked: list[bool] = []
    kernels = SimpleNamespace(
        known=lambda call: SimpleNamespace(seconds=alone_s) if call is PRODUCT else None,
        learn_again=lambda *_, may_be_longer: asked.append(may_be_longer),
    )
    foretold = Forecast(peak_bytes=1, exact=True, seconds=9.0)
    look_back(early, foretold, Taken([1.0], None, 1), {PRODUCT: 1, CONVOLUTION: 1}, kernels)
    assert asked == [False] * expected
