"""``hogui check``: what it prints, and its exit status."""

import json

import pytest
from torch.nn import functional

import core.measure.correctness.preflight as preflight_module
from core.cli import main
from core.engine.direct import Forward
from core.engine.layers import forward as engine_forward
from core.spec.layers import LayerSpec

Output = pytest.CaptureFixture[str]
NET = json.dumps(
    {
        "model": {
            "input_shape": [6],
            "layers": [
                {"kind": "linear", "out_features": 4},
                {"kind": "layer_norm"},
                {"kind": "sigmoid"},
            ],
        }
    }
)


@pytest.fixture
def file(tmp_path) -> str:
    path = tmp_path / "net.json"
    path.write_text(NET)
    return str(path)


@pytest.fixture
def without_second_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sigmoid is one that torch differentiates only once."""

    def forward(layer: LayerSpec, index: int, order: int) -> Forward:
        if layer.kind == "sigmoid":
            return lambda parameters, buffers, x, update: functional.hardsigmoid(x)
        return engine_forward(layer, index, order)

    preflight_module._observed_layer.cache_clear()
    monkeypatch.setattr(preflight_module, "forward", forward)
    yield
    preflight_module._observed_layer.cache_clear()


def test_that_a_sound_spec_says_so_and_ends_with_0(file: str, capsys: Output) -> None:
    assert main(["check", file]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Nothing found.\n"
    assert captured.err == ""


def test_that_notes_and_warnings_are_lines_and_no_failure(file: str, capsys: Output) -> None:
    status = main(
        ["check", file, "--set", "workload.order=3", "--set", "mitigation.inner_loop=checkpoint"]
    )
    lines = capsys.readouterr().out.splitlines()

    assert status == 0
    assert lines[0].startswith("warning: mitigation.inner_loop has no effect here")
    assert lines[1].startswith("note: layer 2 layer_norm: torch's own derivative is wrong")
    assert len(lines) == 2


@pytest.mark.usefixtures("without_second_derivative")
def test_that_an_error_names_its_layer_and_ends_with_1(file: str, capsys: Output) -> None:
    assert main(["check", file]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "error: layer 3 sigmoid: hardsigmoid has no second derivative; write it out: "
        "(x / 6 + 0.5).clamp(0, 1)."
    ]
    assert captured.err == ""
    assert main(["check", file, "--set", "workload.order=1"]) == 0


@pytest.mark.usefixtures("without_second_derivative")
def test_that_json_has_the_findings_with_layers_as_in_results(file: str, capsys: Output) -> None:
    assert main(["check", file, "--json", "--set", "workload.order=3"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]

    assert [(finding["severity"], finding["layer"]) for finding in findings] == [
        ("note", 1),
        ("error", 2),
    ]
    assert all(set(finding) == {"severity", "layer", "sentence"} for finding in findings)


def test_that_json_of_a_sound_spec_is_an_empty_list(file: str, capsys: Output) -> None:
    assert main(["check", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "no-such-preset"], "no-such-preset"),
        (["check", "lecture-maml", "--set", "workload.order=9"], "workload.order"),
        (["check", "lecture-maml", "--set", "workload"], "--set"),
        (["check"], "SPEC"),
    ],
)
def test_that_an_invalid_spec_is_a_sentence_and_2(
    arguments: list[str], words: str, capsys: Output
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert "Traceback" not in captured.err


def test_that_the_help_tells_the_exit_status(capsys: Output) -> None:
    assert main(["check", "--help"]) == 0
    assert "exit status" in " ".join(capsys.readouterr().out.split())
