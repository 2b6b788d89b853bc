"""The table of torch's faults against torch itself: what it calls faulty is, the rest is sound."""

import pytest
import torch
from torch.nn import functional

from core.engine.attention import math_attention
from core.measure.correctness.known_faults import (
    FAULTS,
    FUSED_ATTENTION,
    Mode,
    Operation,
    Use,
    findings_for,
)
from core.measure.correctness.operations import Operations
from core.results.forecast import Finding
from tests.core.differentiated import FAULTY, MODES, SOUND, Example, outcome

EXAMPLES = FAULTY | SOUND
# Third derivatives by differences need more digits than 32 bits have.
CASES = [
    (name, order)
    for name, example in EXAMPLES.items()
    for order in (2, 3)
    if order == 2 or example.dtype == torch.float64
]
REMEDIED = [name for name, example in FAULTY.items() if example.remedied is not None]
NOT_HERE = {"aten::_cudnn_rnn"}
if not torch.backends.mkldnn.is_available():
    NOT_HERE.add("aten::mkldnn_rnn_layer")


def operations(example: Example) -> tuple[Operation, ...]:
    with Operations() as recorded:
        example.scalar(example.point())
    return recorded.seen


def errors(example: Example, use: Use) -> list[Finding]:
    found = findings_for(operations(example), use)
    return [finding for finding in found if finding.severity == "error"]


@pytest.mark.parametrize(("name", "order"), CASES)
@pytest.mark.parametrize("mode", MODES)
def test_that_the_table_foretells_what_torch_does(name: str, mode: Mode, order: int) -> None:
    """Fails once torch is repaired, or breaks something that was sound."""
    example = EXAMPLES[name]

    foretold = errors(example, Use(order, mode))

    assert bool(foretold) == (outcome(example.scalar, example.point(), order, mode) != "right")


@pytest.mark.parametrize("name", EXAMPLES)
def test_that_first_gradients_are_never_called_faulty(name: str) -> None:
    assert findings_for(operations(EXAMPLES[name]), Use(1)) == ()


def test_that_every_operation_of_the_table_is_one_of_torchs() -> None:
    names = {name.partition("(")[0] for fault in FAULTS for name in fault.operations}
    known = {schema.name for schema in torch._C._jit_get_all_schemas()}

    assert {name for name in names if "::" in name} <= known


def test_that_every_fault_of_an_operation_has_an_example() -> None:
    seen = {operation.name for example in FAULTY.values() for operation in operations(example)}
    untested = [fault for fault in FAULTS if fault.operations and fault.operations.isdisjoint(seen)]

    assert {name for fault in untested for name in fault.operations} == NOT_HERE


@pytest.mark.parametrize("name", REMEDIED)
def test_that_a_remedy_has_the_same_values_and_the_right_second_derivative(name: str) -> None:
    example = FAULTY[name]
    tolerance = 1e-12 if example.dtype == torch.float64 else 1e-6

    x = example.point()
    assert example.remedied is not None
    torch.testing.assert_close(
        example.remedied(x), example.output(x), rtol=tolerance, atol=tolerance
    )
    struck = [mode for mode in MODES if errors(example, Use(2, mode))]
    unhealed = [mode for mode in struck if outcome(example.remedied_scalar, x, 2, mode) != "right"]
    # Softmax, in the math kernel of attention, has a fault of its own in that mode.
    assert unhealed == (["reverse_over_forward"] if name == "attention" else [])


def test_that_a_remedy_by_another_mode_names_one_that_is_right() -> None:
    for name, example in FAULTY.items():
        for mode in MODES:
            for finding in errors(example, Use(2, mode)):
                if "use reverse over reverse" in finding.sentence:
                    assert errors(example, Use(2)) == [], name


def test_that_the_switch_to_the_math_kernel_of_attention_is_announced() -> None:
    found = findings_for(operations(FAULTY["attention by the math kernel"]), Use(2))

    assert [finding.severity for finding in found] == ["note"]
    assert "switches to the math kernel by itself" in found[0].sentence


@pytest.mark.parametrize("kernel", sorted(FUSED_ATTENTION))
def test_that_no_fused_kernel_of_attention_passes(kernel: str) -> None:
    found = findings_for([Operation(0, kernel)], Use(2), ["multihead_attention"])

    assert [finding.severity for finding in found] == ["error"]
    assert found[0].sentence.startswith("multihead_attention: fused attention")


@pytest.mark.parametrize(("order", "severities"), [(1, ["error"]), (2, ["note"])])
def test_that_the_engines_kernel_of_attention_is_an_error_at_no_order(
    order: int, severities: list[str]
) -> None:
    """At order 1 the fused kernel is left in place, where it would be one at order 2."""
    attention = torch.nn.MultiheadAttention(4, 2)
    x = torch.randn(5, 2, 4)

    with math_attention(order), Operations() as recorded:
        attention(x, x, x, need_weights=False)

    assert findings_for(recorded.seen, Use(1)) == ()
    assert [finding.severity for finding in findings_for(recorded.seen, Use(2))] == severities


def test_that_batch_norm_by_running_statistics_is_told_from_training() -> None:
    x, mean, variance = torch.randn(4, 3), torch.zeros(3), torch.ones(3)

    def names(training: bool) -> set[str]:
        with Operations() as recorded:
            functional.batch_norm(x, mean, variance, training=training)
        return {name for _, name in recorded.seen}

    assert "aten::native_batch_norm(training=True)" in names(True)
    assert "aten::native_batch_norm(training=False)" in names(False)


def test_that_an_argument_left_at_its_default_is_told_too() -> None:
    with Operations() as recorded:
        functional.mse_loss(torch.zeros(3), torch.ones(3))

    assert Operation(None, "aten::mse_loss(reduction=1)") in recorded.seen


def test_that_each_layer_has_its_own_finding_and_only_one_of_a_kind() -> None:
    with Operations() as recorded:
        x = torch.randn(3, 4)
        for layer in range(2):
            recorded.layer(layer)
            x = functional.hardsigmoid(functional.hardsigmoid(x))
        recorded.layer(-1)
        torch.cdist(x, x)

    found = findings_for(recorded.seen, Use(2), ["hardsigmoid", "squash"])

    assert [finding.layer for finding in found] == [0, 1, None]
    assert found[1].sentence.startswith("squash: hardsigmoid has no second derivative")
    assert found[2].sentence.startswith("torch.cdist has no second derivative; write it out")


def test_that_a_mitigation_that_allows_one_derivative_is_an_error_from_order_2_on() -> None:
    chosen = frozenset({"selective_checkpointing"})

    found = findings_for([], Use(2, mitigations=chosen))

    assert [(finding.severity, finding.layer) for finding in found] == [("error", None)]
    assert "differentiated only once" in found[0].sentence
    assert findings_for([], Use(1, mitigations=chosen)) == ()
    assert findings_for([], Use(2)) == ()
