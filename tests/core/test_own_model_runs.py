"""Runs of the user's own models and steps: what comes out, in a process and on the command line."""

import csv
import json

import numpy as np
import pytest

from core.cli import main
from core.history import History
from core.isolation import run_isolated
from core.outlook import COMES_WITH_THE_RUN, outlook
from core.results.events import Finished
from core.results.measurement import Measurement
from core.results.outcome import Outcome
from core.runner import run
from core.spec.notices import NO_CHECK_OF_STEPS, OWN_STEP
from core.spec.run import RunSpec
from tests.own_models import HEAD, NETWORK, own_spec, written

STEP = """
def step(module, batch):
    x, y = batch
    loss = (module(x) - y).square().mean()
    loss.backward()
    with torch.no_grad():
        for weight in module.parameters():
            weight -= 0.5 * weight.grad
            weight.grad = None
    return loss.item()
"""
CUT = """
class model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 3), nn.Linear(3, 3)
    def forward(self, x):
        return torch.tanh(self.second(torch.tanh(self.first(x).detach())) * self.first.bias)
"""


def finish(spec: RunSpec, **options: object) -> Measurement:
    *_, last = run(spec, **options)
    assert isinstance(last, Finished)
    return last.result


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOGUI_HOME", str(tmp_path / "home"))


@pytest.fixture
def file(tmp_path) -> str:
    """A spec of ``NETWORK``."""
    path = tmp_path / "spec.json"
    path.write_text(own_spec(written(tmp_path, NETWORK)).to_json())
    return str(path)


@pytest.mark.parametrize(
    "workload",
    [
        {"kind": "nested_gradient", "order": 3},
        {"kind": "hvp", "vectors": 2},
        {"kind": "hessian"},
        {"kind": "newton", "method": "cg", "steps": 2},
        {"kind": "adversarial", "steps": 2},
        {"kind": "maml", "inner_steps": 3, "tasks": 2, "support": 4, "query": 4},
    ],
    ids=lambda workload: workload["kind"],
)
def test_that_a_run_of_a_module_is_forecast_measured_and_checked(workload: dict, tmp_path) -> None:
    result = finish(own_spec(written(tmp_path, NETWORK), workload=workload))
    assert result.outcome is Outcome.FINISHED
    assert result.forecast is not None
    assert result.forecast.exact
    assert result.memory is not None
    assert result.forecast.peak_bytes == result.memory.peak_bytes
    assert sum(result.memory.by_category.values()) == (
        result.memory.baseline_bytes + result.memory.peak_bytes
    )
    assert result.check is not None
    assert result.check.passed
    layers = [(layer.kind, layer.output_shape, layer.parameters) for layer in result.layers]
    assert layers == [("0 Linear", (16,), 144), ("1 Tanh", (16,), 0), ("2 Linear", (3,), 51)]
    assert all(layer.bytes_at_peak for layer in result.layers)
    assert not any("leak" in warning for warning in result.warnings)


def test_that_a_graph_that_was_cut_fails_the_check_in_words(tmp_path) -> None:
    result = finish(own_spec(written(tmp_path, CUT)))
    assert result.check is not None
    assert not result.check.passed
    assert "as if something cut its graph" in " ".join(result.check.failures)


def test_that_a_step_is_measured_in_place_of_the_workload(tmp_path) -> None:
    saved = tmp_path / "tensors.npz"
    spec = own_spec(written(tmp_path, NETWORK + STEP), workload={"kind": "maml", "tasks": 3})
    result = finish(spec, save_tensors=saved)
    assert result.outcome is Outcome.FINISHED
    assert [phase.name for phase in result.phases] == ["step"]
    assert result.check is None
    assert {OWN_STEP, NO_CHECK_OF_STEPS} <= set(result.warnings)
    assert not any("leak" in warning for warning in result.warnings)
    with np.load(saved) as arrays:
        x, y = arrays["data/x"], arrays["data/y"]
        first, last = arrays["parameters/0.weight"], arrays["parameters/2.weight"]
        hidden = np.tanh(x @ first.T + arrays["parameters/0.bias"])
        off = 2 * (hidden @ last.T + arrays["parameters/2.bias"] - y) / y.size
        np.testing.assert_allclose(
            arrays["result/2.weight"], last - 0.5 * off.T @ hidden, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    "workload", [{"kind": "hessian"}, {"kind": "adversarial", "training_steps": 3}]
)
def test_that_a_step_is_the_same_whatever_workload_it_takes_the_place_of(
    workload: dict, tmp_path
) -> None:
    file = written(tmp_path, NETWORK + STEP)
    plain, other = finish(own_spec(file)), finish(own_spec(file, workload=workload))
    assert other.outcome is Outcome.FINISHED
    assert other.heat_map is None
    norms = [[phase.result_norm for phase in result.phases] for result in (plain, other)]
    assert norms[0] == norms[1]


def test_that_a_step_that_raises_is_named_by_its_line(tmp_path) -> None:
    text = NETWORK + "def step(module, batch):\n    return batch[2]\n"
    result = finish(own_spec(written(tmp_path, text)))
    assert result.outcome is Outcome.FAILED
    assert result.error == (
        "own.py, line 6: the file's code raised IndexError: tuple index out of range."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "class model(nn.Linear):\n    def __init__(self):\n        super().__init__(8, 3)\n"
            "    def forward(self, x):\n"
            "        return torch.cdist(super().forward(x), torch.eye(3).to(x))\n",
            "The model of own.py cannot be differentiated twice in this way: ",
        ),
        (
            NETWORK + "def loss(module, batch):\n    value = module(batch[0]).sum()\n"
            "    value.backward()\n    return value\n",
            "Something in own.py has freed the graph of its loss, as .backward() does; ",
        ),
        ("raise ValueError('no')", "own.py, line 3: loading the file raised ValueError: no."),
        (NETWORK.replace("(8, 16)", "(9, 16)"), "own.py: the module's forward raised "),
    ],
)
def test_that_what_cannot_be_measured_fails_in_one_sentence(
    text: str, sentence: str, tmp_path
) -> None:
    result = finish(own_spec(written(tmp_path, text)))
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.startswith(sentence)
    assert "Traceback" not in result.error


def test_that_a_loss_that_does_not_fit_the_output_is_told_once_the_output_is_known(
    tmp_path,
) -> None:
    data = {"kind": "digits"}
    result = finish(
        own_spec(written(tmp_path, NETWORK.replace("8,", "64,")), input_shape=[64], data=data)
    )
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.startswith("loss: ")


def test_that_a_changed_file_is_what_is_forecast_and_measured(tmp_path) -> None:
    spec = own_spec(written(tmp_path, NETWORK))
    first = finish(spec)
    written(tmp_path, NETWORK.replace("16", "32"))
    second = finish(spec)
    assert first.memory is not None
    assert second.memory is not None
    assert second.memory.peak_bytes > first.memory.peak_bytes
    assert second.forecast is not None
    assert second.forecast.peak_bytes == second.memory.peak_bytes


def test_that_a_file_that_prints_and_one_that_ends_its_process_harm_nobody(tmp_path) -> None:
    text = "print('hello')\n" + NETWORK
    *_, last = run_isolated(own_spec(written(tmp_path, text)))
    assert last.result.outcome is Outcome.FINISHED
    text = "import os\nprint('goodbye', flush=True)\nos._exit(7)\n"
    *_, last = run_isolated(own_spec(written(tmp_path, text)))
    assert last.result.outcome is Outcome.CRASHED
    assert last.result.error == "It ended with exit status 7. Its last words: goodbye"


def test_that_an_outlook_does_not_run_the_file_unless_it_may(tmp_path) -> None:
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w').close()\n" + NETWORK
    spec = own_spec(written(tmp_path, text))
    seen = outlook(spec)
    assert (seen.forecast, seen.absent, seen.findings) == (None, COMES_WITH_THE_RUN, ())
    assert not ran.exists()
    seen = outlook(spec, learn_s=10.0, loads_files=True)
    assert seen.forecast is not None
    assert ran.exists()


def test_that_a_run_is_kept_and_read_back_with_its_modules(tmp_path) -> None:
    spec = own_spec(written(tmp_path, NETWORK))
    *_, last = run(spec)
    history = History()
    history.add(last.result, last.timeline)
    kept = history.get(last.result.run_id)
    assert kept.layers == last.result.layers
    assert kept.spec == spec


def test_that_the_command_line_measures_and_writes_the_modules(file: str, tmp_path, capsys) -> None:
    assert main(["run", file, "--csv", str(tmp_path / "csv"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["spec"]["model"]["kind"] == "python"
    with (tmp_path / "csv" / "layers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["kind"] for row in rows] == ["0 Linear", "1 Tanh", "2 Linear"]
    with (tmp_path / "csv" / "runs.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["spec.model.callable"] == "model"


def test_that_the_command_line_ends_with_1_and_a_sentence_where_the_file_raises(
    file: str, tmp_path, capsys
) -> None:
    (tmp_path / "own.py").write_text(HEAD + "raise ValueError('no')\n")
    sentence = "own.py, line 3: loading the file raised ValueError: no."
    assert main(["run", file]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == f"An operation of the run raised an error. {sentence}"
    assert "Traceback" not in captured.err + captured.out
    assert main(["check", file]) == 1
    assert capsys.readouterr().out == f"error: {sentence}\n"
    assert main(["forecast", file]) == 1
    assert capsys.readouterr().err == f"There is no forecast. {sentence}\n"


def test_that_the_command_line_ends_with_2_where_a_key_is_wrong(file: str, capsys) -> None:
    assert main(["run", file, "--set", "model.file=gone.py"]) == 2
    sentence = 'model.file: "gone.py" was given; there is no such file.'
    assert capsys.readouterr().err == f"{sentence}\n"
    assert main(["run", file, "--set", "model.width=3"]) == 2
    assert "model.width is not a known key" in capsys.readouterr().err


def test_that_check_prints_findings_and_not_what_the_file_prints(tmp_path, capsys) -> None:
    text = "print('hello')\n" + NETWORK.replace("nn.Tanh()", "nn.LayerNorm(16)")
    path = tmp_path / "spec.json"
    path.write_text(own_spec(written(tmp_path, text)).to_json())
    assert main(["check", str(path), "--set", "workload.order=3", "--json"]) == 1
    captured = capsys.readouterr()
    (finding,) = json.loads(captured.out)["findings"]
    assert finding["layer"] == 1
    assert finding["sentence"].startswith("1 LayerNorm: torch's layer norm has wrong derivatives")
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out == "Nothing found.\n"


def test_that_check_says_where_a_step_takes_the_place_of_the_workload(tmp_path, capsys) -> None:
    path = tmp_path / "spec.json"
    path.write_text(own_spec(written(tmp_path, NETWORK + STEP)).to_json())
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out == f"note: {OWN_STEP}\n"


def test_that_the_command_line_forecasts_to_the_byte(file: str, capsys) -> None:
    assert main(["forecast", file, "--json"]) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert main(["run", file, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert forecast["exact"]
    assert forecast["peak_bytes"] == measured["memory"]["peak_bytes"]
