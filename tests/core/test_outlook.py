"""Forecast and findings in one answer, and what is kept of what it learned."""

import json

import pytest
import torch

from core.home import home
from core.measure.memory.kernels import FILE_NAME
from core.outlook import forecaster, known_kernels, outlook
from core.results.forecast import DeviceMemory
from core.spec.run import RunSpec


def spec(**keys: object) -> RunSpec:
    document = {
        "model": {
            "input_shape": [6],
            "layers": [
                {"kind": "linear", "out_features": 7},
                {"kind": "layer_norm"},
                {"kind": "tanh"},
            ],
        },
        "device": "cpu",
    }
    return RunSpec.from_json(json.dumps(document | keys))


def test_that_forecast_and_findings_come_together() -> None:
    seen = outlook(spec(workload={"kind": "nested_gradient", "order": 3}), learn_s=30.0)
    assert seen.forecast is not None
    assert seen.forecast.exact
    assert any(finding.layer == 1 for finding in seen.findings), "LayerNorm at order 3"


def test_that_findings_come_without_a_forecast_too() -> None:
    layers = [
        {"kind": "embedding", "num_embeddings": 9, "embedding_dim": 4, "sparse": True},
        {"kind": "flatten"},
        {"kind": "layer_norm"},
        {"kind": "linear"},
    ]
    order = {"kind": "nested_gradient", "order": 3}
    seen = outlook(spec(model={"input_shape": [3], "layers": layers}, workload=order))
    assert seen.forecast is None
    assert seen.absent is not None
    assert seen.findings


def test_that_what_is_learned_is_kept_in_the_users_folder() -> None:
    outlook(spec(), learn_s=30.0)
    file = home() / FILE_NAME
    assert file.is_file()
    cpu = torch.device("cpu")
    seen = forecaster.outlook(spec())
    assert seen.forecast is not None
    known = known_kernels(cpu, 1)
    assert any("addmm" in line for line in file.read_text().splitlines())
    assert known.learn([], 0.0) == ()


def test_that_the_folder_is_the_one_that_was_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("HOGUI_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("HOGUI_HOME")
    assert home().name == "HoGUI"


def test_that_another_devices_memory_is_asked_about() -> None:
    seen = outlook(spec(), DeviceMemory(name="Tiny", total_bytes=10))
    assert seen.forecast is not None
    assert seen.forecast.fits is False
    assert seen.forecast.memory_name == "Tiny"
