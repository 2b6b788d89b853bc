"""Facts about the examples that are drawn."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import resources
from core.engine.data import Batch, Tasks, draw_batch, draw_tasks
from core.engine.problem import prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.spec.run import RunSpec

CPU = torch.device("cpu")
DENSE: list[dict[str, object]] = [{"kind": "linear", "out_features": 1}]


def a_spec(
    data: dict[str, object],
    input_shape: list[int],
    *,
    layers: list[dict[str, object]] = DENSE,
    workload: dict[str, object] | None = None,
    loss: str = "mse",
    seed: int = 0,
) -> RunSpec:
    spec = RunSpec.from_json(
        json.dumps(
            {
                "model": {"input_shape": input_shape, "layers": layers},
                "data": data,
                "loss": loss,
                "workload": workload or {"kind": "nested_gradient"},
                "mitigation": {"precision": "float64"},
                "measure": {"seed": seed},
            }
        )
    )
    assert not spec.problems(), spec.problems()
    return spec


def batch(spec: RunSpec) -> Batch:
    return draw_batch(spec, CPU, torch.float64)


def tasks(spec: RunSpec, step: int = 0) -> Tasks:
    return draw_tasks(spec, CPU, torch.float64, step)


def sinusoids(seed: int = 0, count: int = 300) -> RunSpec:
    workload: dict[str, object] = {"kind": "maml", "tasks": count, "support": 10, "query": 20}
    return a_spec({"kind": "sinusoid"}, [1], workload=workload, seed=seed)


def digits(ways: int = 5, seed: int = 0) -> RunSpec:
    return a_spec(
        {"kind": "digits", "ways": ways},
        [1, 8, 8],
        layers=[{"kind": "flatten"}, {"kind": "linear", "out_features": ways}],
        workload={"kind": "maml", "tasks": 6, "support": 2 * ways, "query": 3 * ways},
        loss="cross_entropy",
        seed=seed,
    )


def shipped() -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(resources.path("data/digits.npz")) as archive:
        images, labels = archive["images"], archive["labels"]
    return torch.from_numpy(images.astype(np.float64)), torch.from_numpy(labels)


def rows_of(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


# ------------------------------------------------------------------------------------ synthetic


def test_that_synthetic_examples_are_normal() -> None:
    drawn = batch(a_spec({"kind": "synthetic", "batch_size": 20_000}, [3]))

    assert drawn.x.shape == (20_000, 3)
    assert drawn.y.shape == (20_000, 1)
    for values in drawn:
        assert values.mean().item() == pytest.approx(0, abs=0.03)
        assert values.std().item() == pytest.approx(1, abs=0.03)
    assert abs(torch.corrcoef(torch.cat(drawn, 1).T)[0, 3].item()) < 0.03


def test_that_synthetic_classes_are_spread_over_every_output_position() -> None:
    layers: list[dict[str, object]] = [{"kind": "conv1d", "out_channels": 4, "padding": 1}]
    data: dict[str, object] = {"kind": "synthetic", "batch_size": 500}

    drawn = batch(a_spec(data, [2, 6], layers=layers, loss="cross_entropy"))

    assert drawn.y.shape == (500, 6)
    assert drawn.y.dtype == torch.int64
    assert torch.bincount(drawn.y.ravel()).min() > 600
    assert set(drawn.y.ravel().tolist()) == {0, 1, 2, 3}


def test_that_an_embedding_gets_whole_numbers_of_its_vocabulary() -> None:
    layers: list[dict[str, object]] = [{"kind": "embedding", "num_embeddings": 9}]

    drawn = batch(a_spec({"kind": "synthetic", "batch_size": 200}, [5], layers=layers))

    assert drawn.x.dtype == torch.int64
    assert set(drawn.x.ravel().tolist()) == set(range(9))


def test_that_synthetic_tasks_differ_and_stay_the_same_at_every_step() -> None:
    workload: dict[str, object] = {"kind": "maml", "tasks": 2, "support": 4, "query": 7}
    spec = a_spec({"kind": "synthetic"}, [3], workload=workload)

    drawn = tasks(spec)

    assert [tuple(part.shape) for part in drawn] == [(2, 4, 3), (2, 4, 1), (2, 7, 3), (2, 7, 1)]
    assert not torch.equal(drawn.support_x[0], drawn.support_x[1])
    assert not torch.equal(drawn.support_x[0], drawn.query_x[0, :4])
    assert all(map(torch.equal, drawn, tasks(spec, step=5)))


# ------------------------------------------------------------------------------------ sinusoids


def curve(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float, float]:
    """Amplitude, phase and residual of y = a·sin(x - p), by least squares in sin x and cos x."""
    basis = torch.cat([torch.sin(x), torch.cos(x)], 1)
    solution = torch.linalg.lstsq(basis, y)
    s, c = solution.solution.ravel().tolist()
    return math.hypot(s, c), math.atan2(-c, s), (basis @ solution.solution - y).abs().max().item()


def test_that_support_and_query_of_a_sinusoid_lie_on_one_curve_of_the_paper() -> None:
    drawn = tasks(sinusoids())
    fits = [
        curve(torch.cat([support_x, query_x]), torch.cat([support_y, query_y]))
        for support_x, support_y, query_x, query_y in zip(*drawn, strict=True)
    ]

    amplitudes, phases, residuals = (np.array(values) for values in zip(*fits, strict=True))

    assert residuals.max() < 1e-12
    assert amplitudes.min() >= 0.1
    assert amplitudes.max() <= 5
    assert phases.min() >= 0
    assert phases.max() <= math.pi
    # Uniform: the quarters are equally full.
    for values, high in ((amplitudes - 0.1, 4.9), (phases, math.pi)):
        quarters = np.histogram(values, bins=4, range=(0, high))[0]
        assert quarters.min() > 45


def test_that_positions_of_a_sinusoid_are_uniform_from_minus_5_to_5() -> None:
    drawn = tasks(sinusoids())

    positions = torch.cat([drawn.support_x.ravel(), drawn.query_x.ravel()])

    assert positions.abs().max() <= 5
    assert positions.mean().item() == pytest.approx(0, abs=0.1)
    assert positions.var().item() == pytest.approx(100 / 12, rel=0.05)


def test_that_no_position_is_in_support_and_query() -> None:
    drawn = tasks(sinusoids())

    assert not set(drawn.support_x.ravel().tolist()) & set(drawn.query_x.ravel().tolist())


def test_that_a_plain_batch_of_sinusoids_is_one_curve() -> None:
    drawn = batch(a_spec({"kind": "sinusoid", "batch_size": 30}, [1]))

    assert drawn.x.shape == (30, 1)
    assert curve(drawn.x, drawn.y)[2] < 1e-12


@pytest.mark.parametrize("make", [sinusoids, digits])
def test_that_each_outer_step_has_tasks_of_its_own_that_the_seed_determines(
    make: Callable[..., RunSpec],
) -> None:
    spec = make(seed=3)

    assert all(map(torch.equal, tasks(spec, step=2), tasks(spec, step=2)))
    assert not torch.equal(tasks(spec, step=2).support_x, tasks(spec, step=3).support_x)
    assert not torch.equal(tasks(spec).support_x, tasks(make(seed=4)).support_x)


# --------------------------------------------------------------------------------------- digits


def test_that_a_batch_of_digits_shows_what_ships_with_the_program() -> None:
    layers: list[dict[str, object]] = [{"kind": "linear", "out_features": 10}]
    data: dict[str, object] = {"kind": "digits", "batch_size": 100}
    images, labels = shipped()
    known = dict(zip(rows_of(images.flatten(1)), labels.tolist(), strict=True))

    drawn = batch(a_spec(data, [64], layers=layers, loss="cross_entropy"))

    assert drawn.x.shape == (100, 64)
    assert drawn.x.min() == 0
    assert drawn.x.max() == 1
    assert len(set(rows_of(drawn.x))) == 100
    assert [known[row] for row in rows_of(drawn.x * 16)] == drawn.y.tolist()
    assert set(drawn.y.tolist()) == set(range(10))


def test_that_a_batch_larger_than_the_data_repeats_them_evenly() -> None:
    layers: list[dict[str, object]] = [{"kind": "linear", "out_features": 10}]
    data: dict[str, object] = {"kind": "digits", "batch_size": 2 * 1797}

    drawn = batch(a_spec(data, [64], layers=layers, loss="cross_entropy"))

    counts = torch.bincount(drawn.y)
    assert torch.equal(counts, 2 * torch.bincount(shipped()[1]))


@pytest.mark.parametrize("ways", [2, 5, 10])
def test_that_digits_come_as_n_ways_of_k_shots_under_new_numbers(ways: int) -> None:
    drawn = tasks(digits(ways))
    images, labels = shipped()
    known = dict(zip(rows_of(images[:, None]), labels.tolist(), strict=True))

    for support_x, support_y, query_x, query_y in zip(*drawn, strict=True):
        assert torch.equal(torch.bincount(support_y), torch.full((ways,), 2))
        assert torch.equal(torch.bincount(query_y), torch.full((ways,), 3))
        true = [known[row] for row in rows_of(torch.cat([support_x, query_x]) * 16)]
        pairs = set(zip(true, torch.cat([support_y, query_y]).tolist(), strict=True))
        assert len(pairs) == ways
        assert len({digit for digit, _ in pairs}) == ways


def test_that_support_and_query_share_no_digit() -> None:
    drawn = tasks(digits())

    for support_x, query_x in zip(drawn.support_x, drawn.query_x, strict=True):
        both = rows_of(support_x) + rows_of(query_x)
        assert len(set(both)) == len(both)


def test_that_tasks_of_digits_pick_different_classes() -> None:
    drawn = tasks(digits(2))

    assert len({row for task in drawn.support_x for row in rows_of(task)}) > 4 * 4


# --------------------------------------------------------------------------------------- arrays


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.arange(24, dtype=np.int16).reshape(12, 2), y=np.arange(12.0)[:, None])
    return str(path)


def test_that_a_batch_of_arrays_is_the_head_of_the_file(file: str) -> None:
    drawn = batch(a_spec({"kind": "arrays", "file": file, "batch_size": 5}, [2]))

    assert drawn.x.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert drawn.y.ravel().tolist() == [0, 1, 2, 3, 4]
    assert drawn.x.dtype == drawn.y.dtype == torch.float64


def test_that_tasks_of_arrays_are_disjoint_rows_with_their_targets(file: str) -> None:
    workload: dict[str, object] = {"kind": "maml", "tasks": 3, "support": 5, "query": 7}

    drawn = tasks(a_spec({"kind": "arrays", "file": file}, [2], workload=workload))

    for support_x, support_y, query_x, query_y in zip(*drawn, strict=True):
        x, y = torch.cat([support_x, query_x]), torch.cat([support_y, query_y])
        assert sorted(y.ravel().tolist()) == list(range(12))
        assert torch.equal(x[:, 0], 2 * y.ravel())


def test_that_classes_and_indices_of_arrays_are_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "classes.npz"
    np.savez(path, x=np.array([[0, 4], [3, 1]], ">f4"), y=np.array([[2.0], [1.0]]))
    data: dict[str, object] = {"kind": "arrays", "file": str(path), "batch_size": 2}
    layers: list[dict[str, object]] = [
        {"kind": "embedding", "num_embeddings": 5, "embedding_dim": 2},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 3},
    ]

    drawn = batch(a_spec(data, [2], layers=layers, loss="cross_entropy"))

    assert drawn.x.tolist() == [[0, 4], [3, 1]]
    assert drawn.y.tolist() == [2, 1]
    assert drawn.x.dtype == drawn.y.dtype == torch.int64


# ------------------------------------------------------------------------------ without computing


@pytest.mark.parametrize("data", ["synthetic", "sinusoid"])
@pytest.mark.parametrize("checkpointing", ["none", "torch", "rematerialize"])
def test_that_a_run_can_be_prepared_and_traced_without_computing(
    data: str, checkpointing: str
) -> None:
    layers: list[dict[str, object]] = [
        {"kind": "linear", "out_features": 8},
        {"kind": "batch_norm"},
        {"kind": "dropout"},
        {"kind": "linear", "out_features": 1},
    ]
    workload: dict[str, object] = {"kind": "maml", "order": 3, "inner_steps": 1, "tasks": 1}
    spec = a_spec({"kind": data}, [1], layers=layers, workload=workload).with_changes(
        {"mitigation.checkpointing.kind": checkpointing, "mitigation.inner_loop": "checkpoint"}
    )

    with FakeTensorMode():
        made = prepare(spec, CPU)
        made.reset()
        computed = compute(made, SILENT)

    assert all(isinstance(tensor, FakeTensor) for tensor in computed.result.values())
    assert computed.result["0.weight"].shape == (8, 1)
