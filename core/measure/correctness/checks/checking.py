"""One check, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.correctness.checks.comparison import Comparison, distance, largest, relative
from core.measure.correctness.checks.directions import Judgement
from core.measure.correctness.checks.oracles import oracles
from core.measure.correctness.checks.oracles.oracle import Chain, Expected, Oracle, chain
from core.measure.correctness.checks.oracles.shared import draws
from core.measure.correctness.checks.reduced import Copy
from core.measure.correctness.checks.rounding import Rounding
from core.measure.correctness.checks.unavailable import CheckUnavailable
from core.results.measurement import Check
from core.spec.mitigations import Mitigation
from core.spec.run import RunSpec

APART_TOLERANCE = 1e-8
"""Relative distance of the engine's result from the one computed apart from it."""

MITIGATION_TOLERANCE = 1e-10
"""Relative distance of a mitigated result from that of the same code without the mitigation, up to
order 3; torch's norms lose a digit or two with each order above."""

_JITTER = 0.1
"""How far the random point is from the run's own, relative to a tensor's typical entry."""

_HIGHEST_ORDER_S = 0.25
_LOWER_ORDERS_S = 0.08
"""About how long differences may take."""

_LEAST = 1e-5
"""A tensor's share of a result below which it may be nothing but rounding, such as a bias that a
norm takes away again."""

_MOST_DIRECTIONS = 24
_MOST_SENTENCES = 5

_TITLES = {"x": "the inputs", "t": "the distance along the probes"}

Found = Mapping[str, Tensor]


class Checking:
    """One check: the copy's problem, and what was compared so far."""

    def __init__(self, copy: Copy, device: torch.device) -> None:
        self._copy, self._device = copy, device
        self._problem = self._at_a_random_point(copy.spec)
        self._generator = torch.Generator().manual_seed(copy.spec.measure.seed)
        self._comparisons: list[Comparison] = []
        self._directions = 0

    def outcome(self, *remarks: str) -> Check:
        """Compares everything.

        Args:
            remarks: ends of the sentence that says what was done.

        Raises:
            CheckUnavailable: the independent computation did not give finite numbers.
        """
        against = oracles(self._problem)
        found, loss = _engine(self._problem)
        for one in (against.expected, *against.nearby):
            if one is not None:
                self._comparisons += self._expected(one, found, loss)
        computed = [(one, *self._apart_from_the_engine(one)) for one in against.judged]
        for oracle, exact, rounding in computed:
            self._comparisons += self._apart(oracle, oracle.part(found), loss, exact, rounding)
        if not all(comparison.passed for comparison in self._comparisons):
            self._comparisons = self._lower_orders() + self._comparisons
        self._comparisons += self._unmitigated(computed, found)
        for foundation in against.foundations:
            self._differences(foundation, *self._apart_from_the_engine(foundation))
        for oracle, exact, rounding in computed:
            self._differences(oracle, exact, rounding, oracle.part(found))
        return self._check(remarks)

    def _at_a_random_point(self, spec: RunSpec) -> Problem:
        """The problem with weights and real inputs moved a little, the same for the same seed."""
        problem = prepare(spec, self._device)
        generator = torch.Generator().manual_seed(spec.measure.seed)
        data = problem.data
        inputs = [tensor for name, tensor in data._asdict().items() if name.endswith("x")]
        with torch.no_grad():
            for tensor in (*problem.parameters.values(), *inputs):
                if tensor.is_floating_point():
                    typical = tensor.square().mean().sqrt().item() or 1.0
                    noise = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
                    tensor.add_(noise.to(tensor.device), alpha=_JITTER * typical)
        return problem

    def _apart_from_the_engine(self, oracle: Oracle) -> tuple[Chain, Rounding]:
        exact = chain(oracle, oracle.point, oracle.times)
        if not math.isfinite(exact.size(oracle.times)):
            raise CheckUnavailable(
                "The result was not checked: on a small copy it is NaN or infinite."
            )
        return exact, Rounding(oracle, exact, self._generator)

    def _apart(
        self, oracle: Oracle, found: Found, loss: float, exact: Chain, rounding: Rounding
    ) -> Iterator[Comparison]:
        """The engine's loss and result against those computed apart."""
        yield Comparison(
            relative(abs(loss - exact.value), abs(exact.value)),
            APART_TOLERANCE,
            "The loss differs from an independent computation",
        )
        for name, right in exact.gradients[-1].items():
            yield Comparison(
                distance(found[name], right, APART_TOLERANCE, rounding, oracle.times, name),
                APART_TOLERANCE,
                f"{oracle.order(oracle.times)}: the result by {self._title(name)} differs from an "
                "independent computation",
            )

    def _expected(self, expected: Expected, found: Found, loss: float) -> Iterator[Comparison]:
        """The engine's loss and result against a second computation."""
        pairs = [("The loss", abs(loss - expected.loss), abs(expected.loss))]
        pairs += [
            (f"The result by {self._title(name)}", *_apart_by(found, expected.result, name))
            for name in expected.result
        ]
        for subject, difference, size in pairs:
            if not math.isfinite(size):
                raise CheckUnavailable(
                    "The result was not checked: on a small copy it is NaN or infinite."
                )
            yield Comparison(
                relative(difference, size),
                expected.tolerance,
                f"{subject} differs from {expected.about}",
            )

    def _lower_orders(self) -> list[Comparison]:
        """The lowest order that is wrong, where only what is at fault differs; none below the own.

        From the next order on every tensor differs, since sums of all entries are differentiated.
        """
        workload = self._copy.spec.workload
        if "order" not in type(workload).model_fields:
            return []
        for order in range(1, workload.derivative_order):
            spec = self._copy.spec.with_changes({"workload.order": order})
            lower = Checking(replace(self._copy, spec=spec), self._device)
            judged = oracles(lower._problem).judged
            if len(judged) != 1:
                return []
            (oracle,) = judged
            exact, rounding = lower._apart_from_the_engine(oracle)
            found = list(self._apart(oracle, *_engine(lower._problem), exact, rounding))
            if not all(comparison.passed for comparison in found):
                return found
        return []

    def _unmitigated(
        self, computed: list[tuple[Oracle, Chain, Rounding]], found: Found
    ) -> Iterator[Comparison]:
        """The engine's result against its own without mitigations."""
        spec = self._copy.spec
        plain = Mitigation(precision="float64")
        if spec.mitigation.accumulation > 1 and draws(self._problem):
            # The parts have random numbers of their own, so that a whole batch is another function.
            parts = {"accumulation": spec.mitigation.accumulation}
            plain = plain.model_copy(update=parts)
        if spec.mitigation == plain:
            return
        order = spec.workload.derivative_order
        tolerance = MITIGATION_TOLERANCE if order <= 3 else APART_TOLERANCE
        unmitigated = spec.model_copy(update={"mitigation": plain})
        result, _ = _engine(self._at_a_random_point(unmitigated))
        for oracle, _, rounding in computed:
            mine = oracle.part(found)
            for name, right in oracle.part(result).items():
                yield Comparison(
                    distance(mine[name], right, tolerance, rounding, oracle.times, name),
                    tolerance,
                    f"{oracle.order(oracle.times)}: the result by {self._title(name)} differs from "
                    f"that without {_mitigations(spec)}",
                )
        if not computed:
            for name in result:
                yield Comparison(
                    relative(*_apart_by(found, result, name)),
                    tolerance,
                    f"The result by {self._title(name)} differs from that without "
                    f"{_mitigations(spec)}",
                )

    def _differences(
        self, oracle: Oracle, exact: Chain, rounding: Rounding, found: Found | None = None
    ) -> None:
        """Every order against the one below; of the highest, what the engine found."""
        for gradient in range(1, oracle.times + 1):
            result = found if gradient == oracle.times else None
            right = exact.gradients[gradient - 1]
            judgement = Judgement(oracle, gradient, result or right, right, rounding, self._title)
            most = self._affordable(gradient, highest=result is not None)
            for along in judgement.along_directions(most, self._generator):
                self._directions += along.is_informative
                if along.comparison is not None:
                    self._comparisons.append(along.comparison)

    def _affordable(self, gradient: int, *, highest: bool) -> int:
        """How many directions, since each takes two gradients of the order below."""
        seconds = _HIGHEST_ORDER_S if highest else _LOWER_ORDERS_S
        directions = seconds / (2 * self._copy.gradient_s(gradient - 1))
        return max(2, min(_MOST_DIRECTIONS, int(directions)))

    def _title(self, name: str) -> str:
        if name not in self._problem.parameters:
            return _TITLES.get(name, name)
        index = self._problem.stack.layer_of(name)
        if index < 0:
            return name
        kind = self._problem.spec.model.trace()[index].layer.kind
        return f"{name} (layer {index + 1}, {kind})"

    def _check(self, remarks: tuple[str, ...]) -> Check:
        worst = largest(self._comparisons)
        wrong = [comparison.sentence for comparison in self._comparisons if not comparison.passed]
        sentences = wrong[:_MOST_SENTENCES]
        if wrong[_MOST_SENTENCES:]:
            sentences.append(f"{len(wrong) - _MOST_SENTENCES} other comparisons fail too.")
        return Check(
            method=", ".join((*self._method(), *remarks)),
            relative_error=worst.error if math.isfinite(worst.error) else None,
            passed=not wrong,
            tolerance=worst.tolerance,
            failures=tuple(sentences),
        )

    def _method(self) -> tuple[str, str]:
        """How it was compared, and on what."""
        how = f"central differences in float64 along {self._directions} directions"
        if not self._directions:
            how = "a second computation in float64, since rounding hides the differences"
        return how, self._copy.extent


def _engine(problem: Problem) -> tuple[Found, float]:
    problem.reset()
    computed = compute(problem, SILENT)
    dense = {
        name: (tensor.to_dense() if tensor.is_sparse else tensor).detach()
        for name, tensor in computed.result.items()
    }
    return dense, computed.loss.item()


def _apart_by(found: Found, right: Found, name: str) -> tuple[float, float]:
    """How far one tensor of a result is from what is right, and the length that this is held
    against: its own, but not less than what rounding leaves of the whole result."""
    whole = math.hypot(*(tensor.norm().item() for tensor in right.values()))
    size = max(right[name].norm().item(), _LEAST * whole)
    return (found[name] - right[name]).norm().item(), size


def _mitigations(spec: RunSpec) -> str:
    kind, inner = spec.mitigation.checkpointing.kind, spec.mitigation.inner_loop
    words = [f"checkpointing {kind}"] if kind != "none" else []
    words += [f"inner loop {inner}"] if inner != "standard" else []
    parts = spec.mitigation.accumulation
    words += [f"accumulation over {parts} parts"] if parts > 1 else []
    return " and ".join(words)
