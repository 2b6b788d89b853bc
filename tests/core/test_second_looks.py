"""What stands beside a result: saved vectors, rivals' peaks, reasons for what is absent."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.cli.spec_argument import read_spec
from core.engine.descent import descend
from core.engine.problem import prepare
from core.engine.workloads.newton import RIVALS
from core.measure.memory.allocator import allocator_peak
from core.results.events import Finished
from core.results.growth_by_order import Growth, GrowthByOrder, growth_sentence
from core.results.measurement import Measurement
from core.runner import run
from core.spec.notices import notices
from core.spec.run import RunSpec

CPU = torch.device("cpu")
SMOOTH = [
    {"kind": "linear", "out_features": 6},
    {"kind": "tanh"},
    {"kind": "linear", "out_features": 3},
]


def spec(workload: dict[str, object], layers: list[dict[str, object]] = SMOOTH, **keys: object):
    document = {
        "model": {"input_shape": [5], "layers": layers},
        "data": {"kind": "synthetic", "batch_size": 8},
        "device": "cpu",
        "workload": workload,
        "measure": {"repetitions": 1, "warmup": 1},
    }
    return RunSpec.from_json(json.dumps(document | keys))


def finished(value: RunSpec, tensors: Path | None = None) -> Measurement:
    *_, last = run(value, save_tensors=tensors)
    assert isinstance(last, Finished)
    return last.result


def hessian_of(saved: dict[str, np.ndarray]) -> np.ndarray:
    """Of the mean squared error of two linear layers with tanh between, from what was saved."""
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    arrays = [torch.tensor(saved[f"parameters/{name}"], dtype=torch.float64) for name in names]
    x, y = (torch.tensor(saved[f"data/{name}"], dtype=torch.float64) for name in ("x", "y"))
    sizes = [array.numel() for array in arrays]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = zip(torch.split(flat, sizes), arrays, strict=True)
        w, b, v, c = (part.view_as(array) for part, array in parts)
        return ((torch.tanh(x @ w.T + b) @ v.T + c - y) ** 2).mean()

    flat = torch.cat([array.flatten() for array in arrays])
    return torch.autograd.functional.hessian(loss, flat).numpy()


def flat(saved: dict[str, np.ndarray], group: str) -> np.ndarray:
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    return np.concatenate([saved[f"{group}/{n}"].reshape(3, -1) for n in names], axis=1)


def test_that_saved_vectors_repeat_the_products(tmp_path: Path) -> None:
    file = tmp_path / "products.npz"
    finished(spec({"kind": "hvp", "vectors": 3}), file)
    with np.load(file) as archive:
        saved = dict(archive)
    right = flat(saved, "data/vectors") @ hessian_of(saved)
    assert flat(saved, "result") == pytest.approx(right, rel=1e-4, abs=1e-5)


def test_that_saved_probes_repeat_the_trace(tmp_path: Path) -> None:
    file = tmp_path / "trace.npz"
    finished(spec({"kind": "hutchinson_trace", "probes": 3}), file)
    with np.load(file) as archive:
        saved = dict(archive)
    probes = flat(saved, "data/probes")
    right = np.mean(np.sum(probes * (probes @ hessian_of(saved)), axis=1))
    assert float(saved["result/trace"]) == pytest.approx(right, rel=1e-4)


def test_that_newton_stands_beside_the_peaks_of_adam_and_l_bfgs() -> None:
    value = spec({"kind": "newton", "steps": 3})
    readings = finished(value).readings
    problem = prepare(value, CPU)
    for name, method in RIVALS.items():

        def work(_: object, method=method) -> None:
            for _at in descend(problem, method, 1e-9, 3):
                pass

        peak = allocator_peak(CPU, work, problem.reset)
        assert peak is not None
        assert readings[f"peak_bytes_{name}"] == peak.peak_bytes
    # Adam keeps two numbers for each weight, and weights and gradients of its own.
    weights = sum(weight.nbytes for weight in problem.parameters.values())
    assert (readings["peak_bytes_adam"] or 0) > 4 * weights


@pytest.mark.parametrize(
    ("workload", "loss", "sentence"),
    [
        ({"kind": "hutchinson_trace", "probes": 1}, "mse", "One probe alone has no standard error"),
        ({"kind": "adversarial", "steps": 2}, "mse", "There is no success rate: only with the"),
    ],
)
def test_that_a_reading_that_is_absent_has_its_reason(
    workload: dict[str, object], loss: str, sentence: str
) -> None:
    warnings = finished(spec(workload, loss=loss)).warnings
    assert sum(said.startswith(sentence) for said in warnings) == 1


@pytest.mark.parametrize(
    ("workload", "warns"),
    [
        ({"kind": "hvp", "mode": "finite_difference"}, True),
        ({"kind": "hvp"}, False),
        ({"kind": "darts", "order": 2, "method": "finite_difference"}, True),
        ({"kind": "darts", "order": 2}, False),
    ],
)
def test_that_differences_across_kinks_are_warned_of(
    workload: dict[str, object], warns: bool
) -> None:
    kinked = [SMOOTH[0], {"kind": "relu"}, SMOOTH[2]]
    said = " ".join(notices(spec(workload, kinked)))
    assert ("across the kinks of relu" in said) == warns


def test_that_batch_norm_within_a_layer_is_refused_by_attacks_of_second_order() -> None:
    inside = {"kind": "residual", "layers": [{"kind": "batch_norm"}, {"kind": "tanh"}]}
    value = spec({"kind": "adversarial", "method": "second_order"}, [SMOOTH[0], inside, SMOOTH[2]])
    (problem,) = value.problems()
    assert problem.key == "workload.method"
    assert "batch_norm (layer 2)" in problem.sentence


def test_that_paths_in_a_spec_are_found_beside_it_and_it_is_called_like_its_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "net.py").write_text("from torch.nn import Linear as model\n")
    document = {"model": {"kind": "python", "file": "net.py", "input_shape": [3]}}
    file = tmp_path / "my run.json"
    file.write_text(json.dumps(document))
    value = read_spec(str(file), [])
    assert value.name == "my run"
    assert value.flatten()["model.file"] == str(tmp_path / "net.py")
    file.write_text(json.dumps(document | {"name": "Mine"}))
    assert read_spec(str(file), []).name == "Mine"


def test_that_costs_off_the_line_are_not_told_as_one_factor() -> None:
    def growth(factor: float, r_squared: float | None) -> str:
        fit = Growth(start=1.0, factor=factor, r_squared=r_squared)
        return growth_sentence(GrowthByOrder(costs=(), memory=fit, time=None))

    assert growth(1.04, 0.429) == (
        "With each order the peak grows by no single factor (about 1.04, R² 0.429)."
    )
    assert growth(2.1, 0.99) == "With each order the peak grows by a factor of 2.1 (R² 0.990)."
    assert growth(2.1, None) == "With each order the peak grows by a factor of 2.1."
