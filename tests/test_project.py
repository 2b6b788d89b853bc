"""What the project promises about itself: pins, pages, commands, what the wheel holds."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import core

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")
CHECK_VENV = ROOT / "packaging" / "check_venv.py"

# torch's CUDA builds pin these themselves, and which of them depends on the build.
PINNED_BY_TORCH = ("nvidia-", "cuda-", "triton")


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for group in groups for line in group]
    return [found for found in requirements if found.name != "hogui"]


def _pins() -> dict[str, str]:
    lines = (ROOT / "packaging" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def _needed_by(names: list[str]) -> Iterator[str]:
    """Everything that these distributions need on this platform, as far as it is installed."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        yield name
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        requirements = [Requirement(line) for line in lines]
        waiting += [
            needed.name
            for needed in requirements
            if needed.marker is None or needed.marker.evaluate({"extra": ""})
        ]


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_that_every_declared_dependency_is_pinned_inside_its_range() -> None:
    pins = _pins()
    for requirement in _declared():
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"


def test_that_every_dependency_of_a_dependency_is_pinned() -> None:
    needed = set(_needed_by([requirement.name for requirement in _declared()]))
    unpinned = {name for name in needed - set(_pins()) if not name.startswith(PINNED_BY_TORCH)}
    assert unpinned == set()


def test_that_everything_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    # The other halves of PySide6 and pydantic, which ask for exactly the version that fits.
    halves = {"shiboken6", "pydantic_core"}
    ours_or_python = {"core", "hogui", "resources"} | halves | sys.stdlib_module_names
    distributions = metadata.packages_distributions()
    undeclared = {
        (file.relative_to(ROOT).as_posix(), name)
        for package in ("core", "hogui", "resources")
        for file in (ROOT / package).rglob("*.py")
        for name in _imported_packages(file) - ours_or_python
        if declared.isdisjoint(canonicalize_name(found) for found in distributions[name])
    }
    assert undeclared == set()


def _imported_packages(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | named}


def test_that_the_pinned_torch_leaves_the_build_to_the_user() -> None:
    assert "+" not in _pins()["torch"]


def test_that_the_packaging_folder_does_not_shadow_the_library_of_its_name() -> None:
    assert not (ROOT / "packaging" / "__init__.py").exists()


def test_that_the_changelog_tells_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(core.__version__)}\b", changelog, re.MULTILINE)


@pytest.mark.parametrize("page", [*PAGES, ".ci/run"])
def test_that_every_make_command_on_a_page_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|step )make ([a-z]+)(?=`|$|  | [A-Z_]+=)", text, re.M))
    assert named, f"{page} names no make command"
    assert named <= _make_targets()


def test_that_every_subcommand_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:\S*/)?hogui ([a-z]+)", text, re.MULTILINE))
    assert named >= {"run", "presets", "devices", "history", "export"}
    for subcommand in sorted(named):
        done = subprocess.run(
            [sys.executable, "-m", "hogui", subcommand, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"hogui {subcommand}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_that_every_file_a_page_links_to_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_that_no_file_names_a_place_on_somebodys_machine() -> None:
    private = re.compile(r"/home/(?!me/)\w|/root/|/Users/\w|[A-Z]:\\\\?Users|/work/")
    folders = ("core", "hogui", "resources", "packaging", "tests", "docs")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*")]
    files += [file for file in ROOT.iterdir() if file.suffix in {".md", ".toml"}]
    files += [ROOT / "Makefile", ROOT / ".ci" / "run"]
    texts = [
        file
        for file in files
        if file.is_file()
        and file != Path(__file__).resolve()
        and file.suffix not in {".pyc", ".png", ".npz", ".ico", ".icns"}
    ]
    assert len(texts) > 20
    assert [file for file in texts if private.search(file.read_text(encoding="utf-8"))] == []


def test_that_the_wheel_holds_the_packages_and_their_files_and_nothing_else(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("core", "hogui", "resources", "packaging"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    code = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith(f"hogui-{core.__version__}-")
    assert {name.partition("/")[0] for name in names} == {
        "core",
        "hogui",
        "resources",
        f"hogui-{core.__version__}.dist-info",
    }
    shipped = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "resources").rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert shipped <= set(names)


@pytest.fixture
def project_with_venv(tmp_path: Path) -> Path:
    """A folder with a ``.venv`` in it that has a (pretended) pip."""
    project = tmp_path / "project"
    venv = project / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site_packages,) = venv.rglob("site-packages")
    (site_packages / "pip").mkdir()
    (site_packages / "pip" / "__init__.py").touch()
    return project


def _venv_is_usable(project: Path) -> bool:
    scripts = project / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    done = subprocess.run(
        [scripts / "python", CHECK_VENV], cwd=project, capture_output=True, check=False
    )
    return done.returncode == 0


def test_that_a_sound_venv_is_used_as_it_is(project_with_venv: Path) -> None:
    assert _venv_is_usable(project_with_venv)


def test_that_a_venv_without_pip_is_made_anew(project_with_venv: Path) -> None:
    (pip,) = project_with_venv.rglob("site-packages/pip")
    shutil.rmtree(pip)
    assert not _venv_is_usable(project_with_venv)


def test_that_a_venv_that_came_with_a_copied_project_is_made_anew(
    project_with_venv: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "elsewhere"
    shutil.copytree(project_with_venv, copied, symlinks=True)
    assert not _venv_is_usable(copied)


def test_that_a_venv_of_an_older_python_is_made_anew(
    project_with_venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import runpy, sys; sys.version_info = (3, 10, 13);"
        f"runpy.run_path({str(CHECK_VENV)!r}, run_name='__main__')"
    )
    scripts = project_with_venv / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    monkeypatch.chdir(project_with_venv)
    assert subprocess.run([scripts / "python", "-c", code], check=False).returncode == 1
