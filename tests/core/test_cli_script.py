"""``hogui script``: what it prints where, and how it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import main
from core.export.script import script
from core.spec.presets import preset

ROOT = Path(__file__).resolve().parents[2]
PRESET = "lecture-second-order"
Output = pytest.CaptureFixture[str]


def test_that_the_script_of_a_preset_is_printed(capsys: Output) -> None:
    assert main(["script", PRESET]) == 0
    captured = capsys.readouterr()
    assert captured.out == script(preset(PRESET).spec)
    assert captured.err == ""


def test_that_a_key_is_overridden(capsys: Output) -> None:
    assert main(["script", PRESET, "--set", "workload.order=3", "--set", "device=cpu"]) == 0
    printed = capsys.readouterr().out
    assert "ORDER = 3\n" in printed
    assert 'torch.device("cpu")' in printed


def test_that_a_script_is_written_to_a_file(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "a script.py"
    assert main(["script", PRESET, "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == script(preset(PRESET).spec)


def test_that_a_file_that_cannot_be_written_is_one_sentence(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "missing" / "script.py"
    assert main(["script", PRESET, "-o", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"--output: {file} cannot be written: No such file or directory.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-preset"], "no-such-preset is neither a file nor a preset"),
        ([PRESET, "--set", "workload.order=9"], "workload.order: 9 was given"),
        ([PRESET, "--set", "data.kind=digits"], "model.input_shape: 500 was given"),
    ],
)
def test_that_a_wrong_spec_is_refused_before_anything_is_printed(
    arguments: list[str], sentence: str, capsys: Output
) -> None:
    assert main(["script", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(sentence)


def test_that_printing_a_script_loads_no_torch_and_the_script_runs(tmp_path: Path) -> None:
    command = (
        "import sys; from core.cli import main; status = main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    changes = ["--set", "measure.repetitions=1", "--set", "data.batch_size=2"]
    arguments = ["script", PRESET, *changes, "--set", "device=cpu"]
    environment = os.environ | {"HOGUI_HOME": str(tmp_path)}
    printed = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    ).stdout
    ran = subprocess.run(
        [sys.executable, "-I", "-"], input=printed, cwd=tmp_path, capture_output=True, check=True
    )
    assert ran.stdout.startswith(b'{"median_s": ')
