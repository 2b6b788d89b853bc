"""What the script says of its computation: time and peak memory."""

from __future__ import annotations

from collections.abc import Iterator

from core.export.script.layers import RUNNING
from core.export.script.model import Network
from core.spec.run import RunSpec

COUNTED_DEVICES = ("cuda", "xpu")
"""Kinds of device whose allocator keeps statistics."""


def measuring(spec: RunSpec, network: Network) -> tuple[str, ...]:
    """The source that measures ``compute`` and prints the figures."""
    kind = spec.device.partition(":")[0]
    resets = network.random or network.tracked
    blocks = [*_reset(network), _seconds(kind)]
    if kind in ("cpu", "auto"):
        blocks.append(_PEAK_ON_CPU)
    if kind in (*COUNTED_DEVICES, "auto"):
        blocks.append(_PEAK_ON_ACCELERATOR)
    blocks.append(_main(spec, network, kind))
    return tuple(block if resets else block.replace("    reset()\n", "") for block in blocks)


def _reset(network: Network) -> Iterator[str]:
    if network.reset:
        yield network.reset
        return
    if not (network.random or network.tracked):
        return
    lines = ["def reset():", '    """Every repetition starts from the same state."""']
    if network.random:
        lines.append("    torch.manual_seed(SEED)")
    if network.tracked:
        lines.append(f"    for statistic, start in zip({RUNNING}, initial):")
        lines.append("        statistic.copy_(start)")
    yield "\n".join(lines)


def _seconds(kind: str) -> str:
    wait = {
        "cpu": "",
        "auto": '    if DEVICE.type != "cpu":\n        torch.accelerator.synchronize()\n',
    }.get(kind, "    torch.accelerator.synchronize()\n")
    return f'''\
def seconds():
    """Time of one computation, without the garbage collector."""
    reset()
    gc.disable()
{wait}    start = time.perf_counter()
    result = compute()
{wait}    elapsed = time.perf_counter() - start
    gc.enable()
    del result
    return elapsed'''


_PEAK_ON_CPU = '''\
def peak_on_cpu():
    """Highest number of bytes above the start: the allocator's own events, added up."""
    reset()
    gc.collect()
    with profile(profile_memory=True) as profiler:
        compute()
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate((event.nbytes() for event in events), initial=0))'''

_PEAK_ON_ACCELERATOR = '''\
def peak_on_accelerator():
    """Highest number of bytes above the start; a computation before it takes the workspaces."""
    reset()
    compute()
    reset()
    gc.collect()
    torch.accelerator.synchronize()
    torch.accelerator.empty_cache()
    torch.accelerator.reset_peak_memory_stats()
    before = torch.accelerator.memory_allocated()
    compute()
    torch.accelerator.synchronize()
    return torch.accelerator.max_memory_allocated() - before'''


_PEAK_ON_EITHER = """\
    peak_bytes = None
    if DEVICE.type == "cpu":
        peak_bytes = peak_on_cpu()
    elif DEVICE.type in ("cuda", "xpu"):
        peak_bytes = peak_on_accelerator()"""


def _main(spec: RunSpec, network: Network, kind: str) -> str:
    peak = {
        "cpu": "    peak_bytes = peak_on_cpu()",
        "auto": _PEAK_ON_EITHER,
    }.get(
        kind,
        "    peak_bytes = " + ("peak_on_accelerator()" if kind in COUNTED_DEVICES else "None"),
    )
    names = "x, y"
    if spec.workload.examples != "batch":
        names = "*data"
    if spec.workload.owns:
        names += f", *{spec.workload.owns}"
    compiling = '\n        "compile_s": compile_s,' if spec.mitigation.compile else ""
    lists = f"*parameters, *{RUNNING}" if network.tracked else "*parameters"
    return f"""\
if __name__ == "__main__":
{peak}
    reset()
    loss_value, result = compute()
    norm = torch.stack([tensor.to_dense().double().norm() for tensor in result]).norm().item()
    del loss_value, result
    warm_up = [seconds() for _ in range(WARM_UP)]
{_repeat(spec)}
    figures = {{
        "median_s": statistics.median(samples),
        "samples_s": samples,
        "peak_bytes": peak_bytes,
        "baseline_bytes": sum(t.nbytes for t in ({lists}, {names})),
        "result_norm": norm if math.isfinite(norm) else None,{compiling}
    }}
    print(json.dumps(figures))"""


def _repeat(spec: RunSpec) -> str:
    if spec.measure.repetitions != "auto":
        return "    samples = [seconds() for _ in range(REPETITIONS)]"
    return """\
    samples, end = [], time.perf_counter() + TIME_BUDGET_S
    while len(samples) < 3 or (len(samples) < REPETITIONS and time.perf_counter() < end):
        samples.append(seconds())"""
