"""The user's git project and the machine's power."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from core.measure.machine.project import cpu_governor, git_revision, power_source


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_that_the_revision_is_that_of_the_project_around_the_folder(project: Path) -> None:
    git(project, "tag", "-a", "v1", "-m", "a version")
    (project / "inner").mkdir()
    revision = git_revision(project / "inner")
    assert revision is not None
    assert len(revision) == 10
    assert git(project, "rev-parse", "HEAD").startswith(revision)


def test_that_changed_files_are_told(project: Path) -> None:
    (project / "a.py").write_text("2\n")
    assert (git_revision(project) or "").endswith("-dirty")


def test_that_there_is_no_revision_outside_projects_or_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert git_revision(tmp_path) is None  # nothing was committed
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None


def test_that_git_which_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **options: float) -> None:
        raise subprocess.TimeoutExpired("git", options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert git_revision() is None


@pytest.mark.parametrize(
    ("battery", "source"),
    [
        (None, None),
        (SimpleNamespace(power_plugged=True), "mains"),
        (SimpleNamespace(power_plugged=False), "battery"),
        (SimpleNamespace(power_plugged=None), None),
    ],
)
def test_that_the_battery_tells_what_feeds_the_machine(
    monkeypatch: pytest.MonkeyPatch, battery: object, source: str | None
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert power_source() == source


def test_that_a_system_without_batteries_or_their_files_has_no_power_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise FileNotFoundError("/sys/class/power_supply")

    monkeypatch.setattr(psutil, "sensors_battery", fail, raising=False)
    assert power_source() is None
    monkeypatch.delattr(psutil, "sensors_battery")
    assert power_source() is None


def test_that_the_governor_is_read_where_there_is_one(tmp_path: Path) -> None:
    assert cpu_governor(tmp_path) is None
    file = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    file.parent.mkdir(parents=True)
    file.write_text("powersave\n")
    assert cpu_governor(tmp_path) == "powersave"
