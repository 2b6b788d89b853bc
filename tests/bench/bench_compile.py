"""Compiled computations against the same ones uncompiled, and against JAX."""

import importlib.util
import json
import statistics
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import profile

from core.engine.compiling import compiled
from core.engine.problem import Problem, prepare
from core.engine.recorder import SILENT
from core.engine.workloads import compute
from core.measure.memory.allocator import allocator_peak
from core.measure.timing.clock import Clock
from core.spec.presets import preset
from core.spec.run import RunSpec
from core.tensors_file import save_tensors
from tests.bench.alternating import Program
from tests.bench.bench_script import MAML_SINUSOID
from tests.bench.page import Page

CPU = torch.device("cpu")
MIB = 2**20
PAIRS = 40
MOST_S = 6.0
HEADERS = (
    "computation",
    "compiling, s",
    "uncompiled, ms",
    "compiled, ms",
    "ratio",
    "error",
    "peak",
)
"""The peak is that of compiled code ÷ that of the engine."""

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "order 3 MAML": ("sinusoid-maml", {"workload.order": 3, "workload.inner_steps": 2}),
    "convolutions, order 2": ("conv-order-2", {}),
    "deep MLP, order 2": ("deep-mlp", {"data.batch_size": 256}),
}


@dataclass(frozen=True)
class Compared:
    """A computation compiled and not, timed in turn."""

    name: str
    compile_s: float
    eager_s: float
    compiled_s: float
    error: float
    peak_ratio: float

    @property
    def ratio(self) -> float:
        return self.eager_s / self.compiled_s

    @property
    def row(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.compile_s:.1f}",
            f"{self.eager_s * 1e3:.3f}",
            f"{self.compiled_s * 1e3:.3f}",
            f"{self.ratio:.1f}",
            f"{self.error:.1e}",
            f"{self.peak_ratio:.2f}",
        )


def compared(name: str, spec: RunSpec) -> Compared:
    """Compiles afresh; both take turns block by block in this process."""
    torch.set_num_threads(spec.measure.threads)
    problem = prepare(spec, CPU)
    program = compiled(problem)

    def engine(recorder: Any) -> Any:
        return compute(problem, recorder)

    problem.reset()
    right = engine(SILENT).result
    problem.reset()
    found = program.compute(SILENT).result
    whole = torch.stack([tensor.norm() for tensor in right.values()]).norm()
    apart = torch.stack([(found[name] - tensor).norm() for name, tensor in right.items()]).norm()
    error = float(apart / whole)
    del found, right
    eager_s, compiled_s = _in_turn(problem, engine, program.compute)
    peaks = [allocator_peak(CPU, one, problem.reset) for one in (program.compute, engine)]
    ratio = peaks[0].peak_bytes / peaks[1].peak_bytes
    return Compared(name, program.seconds, eager_s, compiled_s, error, ratio)


def _in_turn(problem: Problem, *computations: Any) -> list[float]:
    """The median of each, in blocks that follow each other in turn."""
    clocks = [Clock(CPU, problem.reset, each) for each in computations]
    slowest = 0.0
    for clock in clocks:
        seconds = [clock.once() for _ in range(5)]
        slowest = max(slowest, statistics.median(seconds))
    pairs = max(min(PAIRS, int(MOST_S / (2 * 5 * slowest))), 3)
    samples: list[list[float]] = [[] for _ in clocks]
    for pair in range(pairs):
        order = range(len(clocks)) if pair % 2 == 0 else reversed(range(len(clocks)))
        for number in order:
            samples[number] += [clocks[number].once() for _ in range(5)]
    return [statistics.median(each) for each in samples]


def sinusoid() -> RunSpec:
    """1-40-40-1, 4 tasks, 5 inner steps."""
    return preset("sinusoid-maml").spec.with_changes(MAML_SINUSOID | {"mitigation.compile": True})


def test_that_compiling_makes_sinusoid_maml_ten_times_faster(page: Page) -> None:
    found = compared("sinusoid MAML, 4 tasks", sinusoid())
    page.claim(
        "Time of sinusoid MAML (1-40-40-1, 5 inner steps, 4 tasks) uncompiled ÷ compiled",
        "≥ 10",
        f"{found.ratio:.1f}",
        met=found.ratio >= 10,
    )
    page.claim(
        "Seconds of tracing and compiling it, without any cache",
        "≤ 30",
        f"{found.compile_s:.1f}",
        met=found.compile_s <= 30,
    )
    page.claim(
        "Relative distance of the compiled meta-gradient",
        "≤ 1e-5",
        f"{found.error:.1e}",
        met=found.error <= 1e-5,
    )
    others = [
        compared(
            name,
            preset(base).spec.with_changes({"device": "cpu", "mitigation.compile": True} | changes),
        )
        for name, (base, changes) in OTHERS.items()
    ]
    page.table("Compiled and not", HEADERS, [one.row for one in (found, *others)])
    headers = ("what", "calls", "share")
    page.table("Where the time of a compiled step of sinusoid MAML goes", headers, spent())


def spent() -> list[tuple[str, str, str]]:
    """Kinds of kernels of compiled sinusoid MAML, as torch's profiler sees them; what each call
    costs the profiler counts too."""
    config = import_module("torch._inductor.config")
    problem = prepare(sinusoid(), CPU)
    with config.patch({"cpp.enable_kernel_profile": True}):
        program = compiled(problem)
    for _ in range(PAIRS):
        program.compute(SILENT)
    with profile() as profiler:
        for _ in range(PAIRS):
            program.compute(SILENT)
    calls, seconds = Counter[str](), Counter[str]()
    for event in profiler.key_averages():
        kind = "calling, and everything else"
        if "mm_out" in event.key:
            kind = "products of matrices, by torch"
        elif "cpp_fused" in event.key:
            kind = "fused kernels, by inductor"
        calls[kind] += event.count
        seconds[kind] += event.self_cpu_time_total
    return [
        (kind, f"{calls[kind] / PAIRS:.0f}", f"{each / seconds.total():.0%}")
        for kind, each in seconds.most_common()
    ]


def test_that_compiled_sinusoid_maml_is_near_jax(page: Page, tmp_path: Path) -> None:
    """``pip install jax`` brings it. All run in processes of their own, one block after another."""
    if importlib.util.find_spec("jax") is None:
        page.table("Sinusoid MAML beside JAX", ("package", "ms"), [("jax", "not installed")])
        return
    spec = sinusoid()
    problem = prepare(spec, CPU)
    numbers, files = tmp_path / "tensors.npz", [tmp_path / "plain.json", tmp_path / "compiled.json"]
    save_tensors(numbers, problem, compute(problem, SILENT))
    for file, is_compiled in zip(files, (False, True), strict=True):
        changed = spec.with_changes({"mitigation.compile": is_compiled})
        file.write_text(changed.to_json(), encoding="utf-8")
    script, taken = tmp_path / "by_jax.py", tmp_path / "compile_s.json"
    script.write_text(
        "import json\n"
        "from tests.bench.scripts.maml_jax import by_jax\n"
        f"seconds, compile_s = by_jax({str(numbers)!r}, {spec.workload.inner_steps}, "
        f"{spec.workload.inner_lr})\n"
        f"json.dump(compile_s, open({str(taken)!r}, 'w'))\n"
        "def peak_on_cpu():\n    return 0\n",
        encoding="utf-8",
    )
    with (
        Program.of_product(files[0]) as plain,
        Program.of_product(files[1]) as ours,
        Program.of_script(script) as theirs,
    ):
        names = {"uncompiled": plain, "compiled": ours, "JAX": theirs}
        samples: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(PAIRS):
            for name, program in names.items():
                samples[name] += program.seconds(20)
    medians = {name: statistics.median(each) for name, each in samples.items()}
    ahead = {name: medians["uncompiled"] / each for name, each in medians.items()}
    page.claim(
        "Compiled sinusoid MAML ÷ JAX's, time",
        "≤ 1.5",
        f"{medians['compiled'] / medians['JAX']:.2f}",
        met=medians["compiled"] <= 1.5 * medians["JAX"],
    )
    rows = [(name, f"{each * 1e3:.3f}", f"{ahead[name]:.1f}") for name, each in medians.items()]
    page.table("Sinusoid MAML beside JAX", ("by", "ms", "times faster than uncompiled"), rows)
    jax_s = json.loads(taken.read_text(encoding="utf-8"))
    page.table("Compiling it", ("by", "s"), [("JAX", f"{jax_s:.1f}")])
