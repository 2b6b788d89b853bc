"""Who may import whom, read from the sources: an import inside a function counts like any other."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "hogui", "resources")
QT = {"PySide6", "shiboken6", "pyqtgraph", "PyQt6"}

# What the window may take from the core: values, kept runs, their files, and a source of events.
WINDOW_MAY_IMPORT = (
    "core.spec",
    "core.results",
    "core.advisor",
    "core.history",
    "core.export",
    "core.isolation",
)
DECLARED_EXCEPTIONS = {
    # The preference "measure in the window's own process" imports these when it is chosen.
    ("hogui.run_worker", "core.runner"),
    ("hogui.run_worker", "core.partial"),
    # With a subcommand the program is a command line and never a window.
    ("hogui.__main__", "core.cli"),
}
LONGEST_FILE = 400
LONGEST_MAIN_WINDOW = 250


def modules_below(root: Path) -> dict[str, Path]:
    """Dotted name -> file, for every module of our packages."""
    files = (file for package in PACKAGES for file in (root / package).rglob("*.py"))
    return {_dotted(file.relative_to(root)): file for file in sorted(files)}


def _dotted(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(source: str) -> Iterator[str]:
    """Every dotted name that a source imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "Relative imports are not read here."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_between(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """Module -> the modules of ours and the names of others that it imports."""
    edges: dict[str, set[str]] = {}
    for name, file in modules.items():
        found = imported_names(file.read_text(encoding="utf-8"))
        edges[name] = {_module_of(target, modules) for target in found}
    return edges


def _module_of(target: str, modules: Mapping[str, Path]) -> str:
    """``core.spec.run.RunSpec`` is a name in ``core.spec.run``; other people's names stay whole."""
    parent = target.rpartition(".")[0]
    return parent if target not in modules and parent in modules else target


def belongs_to(name: str, packages: tuple[str, ...] | set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def cycles_in(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other in a circle."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in edges.get(waiting.pop(), set()) - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    reach = {name: reachable(name) for name in edges}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach.get(other, set())))
        for name in edges
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def loaded_by_importing(*names: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after importing these."""
    code = f"import sys, {', '.join(names)}; print(*{{n.partition('.')[0] for n in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return modules_below(ROOT)


@pytest.fixture(scope="module")
def edges(modules: dict[str, Path]) -> dict[str, set[str]]:
    return imports_between(modules)


@pytest.fixture
def made_up_packages(tmp_path: Path) -> Path:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "upper.py").write_text("def late():\n    from core import lower\n")
    (tmp_path / "core" / "lower.py").write_text("from core.upper import late\nimport torch\n")
    return tmp_path


def test_that_an_import_hidden_in_a_function_is_seen(made_up_packages: Path) -> None:
    found = imports_between(modules_below(made_up_packages))
    assert found["core.upper"] == {"core.lower"}
    assert found["core.lower"] == {"core.upper", "torch"}


def test_that_a_circle_through_a_function_is_found(made_up_packages: Path) -> None:
    found = cycles_in(imports_between(modules_below(made_up_packages)))
    assert found == [["core.lower", "core.upper"]]


def test_that_no_modules_import_each_other_in_a_circle(edges: dict[str, set[str]]) -> None:
    assert cycles_in(edges) == []


def test_that_the_core_imports_neither_qt_nor_the_window(edges: dict[str, set[str]]) -> None:
    offenders = [
        (name, target)
        for name, targets in edges.items()
        if belongs_to(name, ("core",))
        for target in targets
        if belongs_to(target, QT | {"hogui"})
    ]
    assert offenders == []


def test_that_the_window_the_spec_and_the_results_name_no_torch(
    edges: dict[str, set[str]],
) -> None:
    offenders = [
        (name, target)
        for name, targets in edges.items()
        if belongs_to(name, ("hogui", "core.spec", "core.results", "core.advisor", "resources"))
        # A user's file, which nobody imports.
        and not belongs_to(name, ("resources.examples",))
        for target in targets
        if belongs_to(target, ("torch",))
    ]
    assert offenders == []


def test_that_the_window_takes_only_values_and_events_from_the_core(
    edges: dict[str, set[str]],
) -> None:
    taken = {
        (name, target)
        for name, targets in edges.items()
        if belongs_to(name, ("hogui",))
        for target in targets
        if belongs_to(target, ("core",)) and target not in {"core", "core.__version__"}
    }
    offenders = {pair for pair in taken if not belongs_to(pair[1], WINDOW_MAY_IMPORT)}
    assert {(name, ".".join(target.split(".")[:2])) for name, target in offenders} <= (
        DECLARED_EXCEPTIONS
    )


def test_that_the_resources_import_nothing_of_ours(edges: dict[str, set[str]]) -> None:
    assert not [target for target in edges["resources"] if belongs_to(target, ("core", "hogui"))]


def test_that_opening_the_window_loads_no_torch() -> None:
    loaded = loaded_by_importing("hogui.app", "hogui.main_window")
    assert "PySide6" in loaded
    assert "torch" not in loaded


def test_that_the_entry_point_loads_neither_qt_nor_torch() -> None:
    assert loaded_by_importing("hogui.__main__").isdisjoint(QT | {"torch"})


def test_that_the_measuring_process_and_the_command_line_load_no_qt() -> None:
    assert loaded_by_importing("core.runner", "core.isolation", "core.cli").isdisjoint(QT)


def test_that_no_source_asks_what_an_object_happens_to_have(modules: dict[str, Path]) -> None:
    offenders = [
        f"{name}:{node.lineno}"
        for name, file in modules.items()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "hasattr"
    ]
    assert offenders == []


def test_that_no_file_has_grown_past_reading_in_one_go(modules: dict[str, Path]) -> None:
    lengths = {
        name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in modules.items()
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}
    assert lengths["hogui.main_window"] < LONGEST_MAIN_WINDOW, "main_window assembles, no more"
