"""What a run has found so far, and the result that it adds up to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.measure.memory.allocator import AllocatorPeak
from core.measure.memory.blocks import Block, LedgerReport
from core.measure.timing.clock import PhaseTime, phase_medians
from core.results.charts import Point, curves_of
from core.results.conditions import Conditions
from core.results.environment import Environment
from core.results.forecast import Forecast
from core.results.growth import Verdict, designed_bytes, growth, split, steps_of
from core.results.heat_map import HeatMap
from core.results.measurement import (
    Check,
    LayerCost,
    Measurement,
    Memory,
    Phase,
    Timing,
    absences,
)
from core.results.outcome import Outcome
from core.results.statistics import timing
from core.spec.inner_segments import inner_segments, is_cut
from core.spec.run import RunSpec
from core.spec.workloads import Maml

_MIB = 2**20


@dataclass
class Found:
    """The figures of one run, filled in as its passes end.

    Attributes:
        explained: names of absent figures whose reason is among the warnings.
    """

    run_id: str
    spec: RunSpec
    environment: Environment
    started_at: str
    outcome: Outcome = Outcome.FINISHED
    error: str | None = None
    forecast: Forecast | None = None
    ledger: LedgerReport | None = None
    allocator: AllocatorPeak | None = None
    samples: list[float] = field(default_factory=list)
    first_s: float | None = None
    phases: list[tuple[PhaseTime, ...]] = field(default_factory=list)
    conditions: Conditions | None = None
    points: list[Point] = field(default_factory=list)
    readings: dict[str, float | None] = field(default_factory=dict)
    heat_map: HeatMap | None = None
    check: Check | None = None
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)

    def result(self) -> Measurement:
        """The run as a value."""
        memory, time = self.memory(), self._timing()
        return Measurement(
            run_id=self.run_id,
            started_at=self.started_at,
            spec=self.spec,
            environment=self.environment,
            outcome=self.outcome,
            error=self.error,
            forecast=self.forecast,
            memory=memory,
            time=time,
            phases=self.phase_rows(),
            layers=self.layer_rows(),
            check=self.check,
            curves=curves_of(self.points),
            readings=self.readings,
            heat_map=self.heat_map,
            warnings=(
                *self.warnings,
                *absences(
                    forecast=self.forecast,
                    memory=memory,
                    time=time,
                    check=self.check,
                    explained=self.explained,
                ),
            ),
            notes=tuple(self.notes),
        )

    def memory(self) -> Memory | None:
        """The allocator's peak by the ledger's categories; None before the memory pass."""
        ledger, allocator = self.ledger, self.allocator
        if ledger is None:
            return None
        peak = allocator.peak_bytes if allocator is not None else ledger.peak_bytes
        by_category = dict(ledger.by_category)
        if peak != ledger.peak_bytes:
            known = by_category.get("kernel_temporaries", 0)
            by_category["kernel_temporaries"] = known + peak - ledger.peak_bytes
        return Memory(
            baseline_bytes=ledger.baseline_bytes, peak_bytes=peak, by_category=by_category
        )

    def memory_warnings(self, device: str) -> Iterator[str]:
        """Where ledger and allocator do not agree, or one is missing."""
        if self.ledger is None:
            return
        if self.allocator is None:
            yield (
                f"The allocator of {device} does not tell its peak; the peak is the "
                "ledger's, whose scratch memory of kernels is what they need when they run alone."
            )
            return
        memory = self.memory()
        rest = memory.by_category.get("kernel_temporaries", 0) if memory is not None else 0
        if rest < 0:
            yield (
                f"The ledger saw {self.ledger.peak_bytes:,} bytes and the allocator "
                f"{self.allocator.peak_bytes:,}: the categories are too large by the difference, "
                "which kernel_temporaries shows as a negative number."
            )

    def phase_rows(self) -> tuple[Phase, ...]:
        """The phases, as far as they are known."""
        if self.ledger is None:
            return ()
        clean = phase_medians(self.phases)
        true_peaks = self.allocator.phases if self.allocator is not None else {}
        return tuple(
            Phase(
                name=phase.name,
                start_s=clean[phase.name].start_s if phase.name in clean else None,
                duration_s=clean[phase.name].duration_s if phase.name in clean else None,
                peak_bytes=true_peaks.get(phase.name, phase.peak_bytes),
                retained_bytes=phase.retained_bytes,
                result_norm=phase.result_norm,
            )
            for phase in self.ledger.phases
        )

    def layer_rows(self) -> tuple[LayerCost, ...]:
        """The layers with their bytes at the peak."""
        by_layer = self.ledger.by_layer if self.ledger is not None else None
        return tuple(
            LayerCost(
                index=row.index,
                kind=row.layer.kind,
                output_shape=row.output_shape or (),
                parameters=row.parameters or 0,
                bytes_at_peak=None if by_layer is None else by_layer.get(row.index, 0),
            )
            for row in self.spec.as_computed().model.trace()
        )

    def result_warnings(self, loss: float, engine: tuple[str, ...]) -> Iterator[str]:
        """A loss or gradient that is not finite, or zero throughout, is a result that says so.

        Args:
            loss: what was differentiated.
            engine: what the engine itself had to say.
        """
        if self.ledger is None:
            return
        yield from engine
        if not math.isfinite(loss):
            yield "The loss is not a finite number (NaN or infinite)."
        touched = [phase.name for phase in self.ledger.phases if not phase.result_is_finite]
        if touched:
            others = f" and those of {len(touched) - 1} later phases" if touched[1:] else ""
            yield (
                f"The results of {touched[0]}{others} hold NaN or infinite values; they have no "
                "norm."
            )
        last = self.ledger.phases[-1]
        if last.result_norm == 0 and not engine:
            yield f"The result of {last.name} is zero in every entry."

    def growth_warnings(self, left: tuple[Block, ...]) -> Iterator[str]:
        """Why memory grows over the inner steps: a note where it is by design, else a warning.

        Args:
            left: what nobody has released.
        """
        workload = self.spec.workload
        if self.ledger is None or not isinstance(workload, Maml):
            return
        phases = self.ledger.phases
        retained = steps_of((phase.name, phase.retained_bytes) for phase in phases)
        behind = sum(block.nbytes for block in left if split(phases[block.born_in].name)[1])
        runs = len(inner_segments(self.spec)) if is_cut(self.spec) else 0
        designed = designed_bytes(self.forecast.phases) if self.forecast and not runs else None
        found = growth(
            retained, designed, behind / (workload.inner_steps * workload.tasks), runs=runs
        )
        if found is None:
            return
        self.readings |= found.readings
        keeps_graph = self.spec.mitigation.inner_loop == "standard"
        sentence = found.sentence("its graph" if keeps_graph else "its weights alone")
        if found.verdict is Verdict.LEAK:
            yield sentence
        else:
            self.notes.append(sentence)

    def add(self, readings: Mapping[str, float], *notes: str) -> None:
        """Single numbers, and what they mean."""
        self.readings |= readings
        self.notes += notes

    def _timing(self) -> Timing | None:
        return timing(self.samples, self.first_s, self.conditions)


def leak_sentence(blocks: tuple[Block, ...], phases: tuple[str, ...], *, cycle: bool) -> str:
    """What a workload left behind, by category and by the phase that made it.

    Args:
        blocks: what nobody has released.
        phases: names of the phases.
        cycle: whether the garbage collector did release it.
    """
    total = sum(block.nbytes for block in blocks)
    by_origin = Counter[str]()
    for block in blocks:
        layer = f", layer {block.layer + 1}" if block.layer >= 0 else ""
        by_origin[f"{block.category} of {phases[block.born_in]}{layer}"] += block.nbytes
    parts = ", ".join(
        f"{nbytes:,} bytes of {origin}" for origin, nbytes in by_origin.most_common(3)
    )
    if cycle:
        return (
            f"{total:,} bytes outlived the workload until Python's garbage collector ran, because "
            f"they were part of a reference cycle: {parts}."
        )
    return f"{total:,} bytes outlived the workload, which is a leak: {parts}."


def too_large_sentence(forecast: Forecast | None, instead: str = "") -> str | None:
    """Why a run is not started by its forecast, None where it may fit.

    Args:
        forecast: of the run.
        instead: what needs less, a sentence or nothing.
    """
    if forecast is None or forecast.fits is not False or forecast.available_bytes is None:
        return None
    return (
        f"By its forecast it needs {forecast.total_bytes // _MIB:,} MiB and {forecast.memory_name} "
        f"has {forecast.available_bytes // _MIB:,} MiB free; it was not started, and can be "
        "forced. " + instead
    ).rstrip()
