"""Where stacks are cut: against every other way of cutting small ones, by costs counted here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.spec.model import StackModel
from core.spec.placement import evenly, placed, segments_of
from core.spec.run import RunSpec

BATCH = 4096
"""So large that weights hardly count."""


def dense(*widths: int) -> StackModel:
    """A linear layer and tanh for each width after the first."""
    layers = [
        layer
        for width in widths[1:]
        for layer in ({"kind": "linear", "out_features": width}, {"kind": "tanh"})
    ]
    return StackModel.model_validate_json(
        json.dumps({"input_shape": [widths[0]], "layers": layers})
    )


def run_of(model: StackModel, **changes: object) -> RunSpec:
    document = {"model": json.loads(model.model_dump_json())}
    return RunSpec.from_json(json.dumps(document)).with_changes(
        {key.replace("__", "."): value for key, value in changes.items()}
    )


@given(layers=st.integers(1, 300), data=st.data())
def test_that_a_number_of_segments_is_that_many_of_about_equal_length(
    layers: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, layers))

    runs = evenly(layers, count)

    assert len(runs) == count
    assert [layer for run in runs for layer in run] == list(range(layers))
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


def every_cut(layers: int) -> Iterator[tuple[range, ...]]:
    for count in range(layers):
        for inner in itertools.combinations(range(1, layers), count):
            yield tuple(range(a, b) for a, b in itertools.pairwise((0, *inner, layers)))


def cost(widths: Sequence[int], runs: Sequence[range], order: int) -> float:
    """Bytes over those of one number, by hand, for linear layers that alternate with tanh.

    tanh keeps its output and a linear layer its input, each at order 2 the gradient by its output.
    """
    out = [width for width in widths[1:] for _ in range(2)]
    before = [widths[0], *out]
    weights = [0.0] * len(out)
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        weights[2 * i] = (a + 1) * b / BATCH
    whole = sum(weights)

    def graph(run: range, order: int) -> float:
        kept = [out[i] for i in run if i % 2 or (order >= 2 and i % 2 == 0)]
        if order >= 2:
            kept += [out[i] for i in run if i % 2]
        return sum(kept) + out[run.stop - 1]

    def own(run: range) -> float:
        return sum(weights[i] for i in run)

    if order == 1:
        borders = list(itertools.accumulate(before[run.start] for run in runs))
        at = [
            kept + graph(run, 1) + sum(weights[run.start :])
            for kept, run in zip(borders, runs, strict=True)
        ]
        return max(*at, borders[-1] + 3 * out[-1])
    largest = max(
        max(graph(run, 2) + own(run) + sum(weights[: run.stop]), graph(run, 1) + own(run) + whole)
        for run in runs
    )
    return 2 * sum(before[run.start] for run in runs) + largest


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.sampled_from([8, 16, 64, 256]), min_size=2, max_size=5),
    order=st.integers(1, 2),
)
def test_that_no_other_cut_of_a_small_stack_needs_less(widths: list[int], order: int) -> None:
    runs = placed(dense(*widths), BATCH, order)

    least = min(cost(widths, other, order) for other in every_cut(2 * len(widths) - 2))
    assert [layer for run in runs for layer in run] == list(range(2 * len(widths) - 2))
    # Sizes of the largest segment are tried in steps of 2 %.
    assert cost(widths, runs, order) <= 1.02 * least


def test_that_more_segments_are_made_where_a_graph_outgrows_borders() -> None:
    counts = [len(placed(dense(*[256] * 33), BATCH, order)) for order in (2, 3, 4, 5, 6)]

    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_that_fewer_segments_are_made_where_several_passes_are_kept() -> None:
    model = dense(*[64] * 9)
    counts = [len(placed(model, BATCH, 2, graphs)) for graphs in (1, 2, 4, 8)]

    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1


def test_that_a_wide_tensor_is_no_border_where_a_narrow_one_is_near() -> None:
    """Half of the tensors of these blocks are eight times as wide as the others."""
    model = dense(*[256, 32] * 8)

    borders = [model.trace()[run.start].input_shape for run in placed(model, BATCH, 2)[1:]]

    assert borders
    assert set(borders) == {(32,)}


def test_that_what_is_kept_at_once_depends_on_the_inner_loop() -> None:
    model = dense(*[64] * 9)
    maml = {
        "workload": {"kind": "maml", "inner_steps": 6, "support": 1024, "query": 1024},
        "mitigation__checkpointing__kind": "rematerialize",
    }
    standard = segments_of(run_of(model, **maml))
    checkpointed = segments_of(run_of(model, **maml, mitigation__inner_loop="checkpoint"))

    assert len(standard) < len(checkpointed)


def test_that_the_cut_of_torchs_checkpointing_is_that_of_the_first_order() -> None:
    """At higher orders it keeps what it has computed again, wherever it is cut."""
    spec = run_of(dense(*[64] * 9), mitigation__checkpointing__kind="torch")

    cuts = {segments_of(spec.with_value("workload.order", str(order))) for order in (1, 2, 3)}

    assert len(cuts) == 1


@pytest.mark.parametrize("kind", ["torch", "rematerialize"])
def test_that_a_number_of_segments_is_obeyed(kind: str) -> None:
    spec = run_of(
        dense(*[64] * 9),
        mitigation__checkpointing__kind=kind,
        mitigation__checkpointing__segments=5,
    )

    assert len(segments_of(spec)) == 5


def test_that_nothing_is_cut_without_checkpointing() -> None:
    assert segments_of(run_of(dense(3, 4, 5))) == (range(4),)
