"""What is said of a step of the user's own: leaks, and graphs that nobody needs, to the byte."""

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import core.measure.own_step as own_step_module
from core.engine.problem import prepare
from core.measure.own_step import STEPS, verdicts
from core.results.charts import KEPT, Point
from tests import oracles
from tests.own_models import NETWORK, own_spec, written

# torch's own advice to whoever calls .backward(create_graph=True).
pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
CPU = torch.device("cpu")
BATCH, WIDTH, CLASSES, ITEM = 6, 16, 3, 4
GRAPH_BYTES = ITEM * (BATCH * WIDTH + BATCH * CLASSES + 1)
"""What the graph of a loss of ``NETWORK`` holds: the outputs of tanh, the differences, the loss."""

LOSS = """
def loss_of(module, batch):
    x, y = batch
    return (module(x) - y).square().mean()
"""


def said(folder, step: str) -> tuple[list[float], list[str]]:
    """Bytes alive after each step, and the sentences."""
    spec = own_spec(written(folder, NETWORK + LOSS + step))
    found = list(verdicts(prepare(spec, CPU)))
    points = [point for point in found if isinstance(point, Point)]
    assert [(point.chart, point.x) for point in points] == [(KEPT, n + 1) for n in range(STEPS)]
    return [point.y for point in points], [each for each in found if isinstance(each, str)]


def test_that_a_list_of_tensors_is_a_leak_of_exactly_its_bytes(tmp_path) -> None:
    step = """
kept = []
def step(module, batch):
    kept.append(torch.zeros(250))
    return loss_of(module, batch).item()
"""
    alive, sentences = said(tmp_path, step)
    assert alive == [1000 * (number + 1) for number in range(STEPS)]
    (sentence,) = sentences
    assert sentence.startswith("Each step leaves 1,000 bytes alive, which is a leak: ")


def test_that_a_list_of_losses_is_a_leak_of_their_graphs(tmp_path) -> None:
    step = """
history = []
def step(module, batch):
    history.append(loss_of(module, batch))
"""
    alive, sentences = said(tmp_path, step)
    assert alive == [GRAPH_BYTES * (number + 1) for number in range(STEPS)]
    assert [re.search(r"[\d,]+", each)[0] for each in sentences] == [f"{GRAPH_BYTES:,}"]


def test_that_what_a_cycle_holds_is_told_from_a_leak(tmp_path) -> None:
    step = """
class Record:
    pass
def step(module, batch):
    record = Record()
    record.itself = record
    record.loss = loss_of(module, batch)
"""
    alive, (sentence,) = said(tmp_path, step)
    assert alive[-1] == STEPS * GRAPH_BYTES
    assert sentence.startswith(f"Each step leaves {GRAPH_BYTES:,} bytes alive until Python's")
    assert "reference cycle" in sentence


def test_that_gradients_and_optimizers_that_stay_are_no_leak(tmp_path) -> None:
    step = """
optimizer = None
def step(module, batch):
    global optimizer
    if optimizer is None:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, foreach=False)
    optimizer.zero_grad()
    loss = loss_of(module, batch)
    loss.backward()
    optimizer.step()
    return loss.detach()
"""
    alive, sentences = said(tmp_path, step)
    weights = 8 * WIDTH + WIDTH + WIDTH * CLASSES + CLASSES
    assert alive == [ITEM * weights] * STEPS
    assert sentences == []


PENALTY = """
{imports}
def step(module, batch):
    weights = list(module.parameters())
    loss = loss_of(module, batch)
    gradients = {grad}(loss, weights, create_graph=True)
    penalty = sum(gradient.square().sum() for gradient in gradients)
    (loss + {share} * penalty).backward()
    with torch.no_grad():
        for weight in weights:
            weight -= 0.1 * weight.grad
            weight.grad = None
    return loss.item()
"""


@pytest.mark.parametrize("share", [1.0, 1e-6])
def test_that_a_graph_that_a_penalty_needs_is_not_called_needless(share: float, tmp_path) -> None:
    step = PENALTY.format(imports="", grad="torch.autograd.grad", share=share)
    assert said(tmp_path, step)[1] == []


NEEDLESS = {
    "by keyword": "torch.autograd.grad(loss, weights, create_graph=True)",
    "by position": "torch.autograd.grad(loss, weights, None, None, True)",
    "by another name": "grad(loss, weights, create_graph=True)",
}
STEP = """
from torch.autograd import grad
def step(module, batch):
    weights = list(module.parameters())
    loss = loss_of(module, batch)
    gradients = {call}
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients):
            weight -= 0.1 * gradient
    return loss.item()
"""


def plain_step(create_graph: bool) -> Callable[[], object]:
    """The step again, by hand."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES))
    x, y = torch.randn(BATCH, 8), torch.randn(BATCH, CLASSES)

    def step() -> object:
        weights = list(module.parameters())
        loss = (module(x) - y).square().mean()
        gradients = torch.autograd.grad(loss, weights, create_graph=create_graph)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.1 * gradient
        return loss.item()

    return step


@pytest.mark.parametrize("call", NEEDLESS.values(), ids=NEEDLESS)
def test_that_a_needless_graph_is_named_with_its_price(call: str, tmp_path) -> None:
    (sentence,) = said(tmp_path, STEP.format(call=call))[1]
    line = 2 + (NETWORK + LOSS + STEP).split("\n").index("    gradients = {call}") + 1
    with_it, without = (oracles.peak_bytes(plain_step(graph)) for graph in (True, False))
    assert with_it > without
    price, times = sentence.split("; ")
    assert price == (
        f"create_graph=True in own.py, line {line} is needless: without it the result is the same "
        f"and the peak is {without:,} bytes instead of {with_it:,}, which is "
        f"{with_it - without:,} bytes less"
    )
    assert re.fullmatch(r"a step takes [\d.]+ ms instead of [\d.]+\.", times)


def test_that_the_price_in_seconds_is_what_the_graph_takes(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is one that stands still but for 3 ms in each call that builds a graph, and 2 in
    one that does not."""
    now = [0.0]
    right = torch.autograd.grad

    def slow(*given, **keywords):
        now[0] += 0.003 if keywords.get("create_graph") else 0.002
        return right(*given, **keywords)

    monkeypatch.setattr(torch.autograd, "grad", slow)
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(own_step_module, "time", clock)
    (sentence,) = said(tmp_path, STEP.format(call=NEEDLESS["by keyword"]))[1]
    assert sentence.endswith("; a step takes 2 ms instead of 3.")


NEEDED_AND_NOT = """
def step(module, batch):
    weights = list(module.parameters())
    x, y = batch
    score = {score}
    loss = loss_of(module, batch)
    gradients = torch.autograd.grad(loss, weights{retain})
    {kept}
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients):
            weight -= 0.1 * gradient
    return score + loss.item()
"""


def test_that_a_forward_pass_that_nothing_differentiates_is_needless(tmp_path) -> None:
    text = NEEDED_AND_NOT.format(score="module(x).square().mean()", retain="", kept="pass")
    (sentence,) = said(tmp_path, text)[1]
    assert sentence.startswith("The graph of the module's call in own.py, line 13 is needless, ")
    assert "torch.no_grad() around it leaves it out: " in sentence
    price = int(re.search(r"which is ([\d,]+) bytes less", sentence)[1].replace(",", ""))
    # What tanh keeps stays alive with the score; the square keeps the output.
    assert price == ITEM * BATCH * (WIDTH + CLASSES)


def test_that_a_forward_pass_without_a_graph_is_not_named(tmp_path) -> None:
    score = "module(x).square().mean().item()"
    text = NEEDED_AND_NOT.format(score=score, retain="", kept="pass").replace(
        "    score =", "    with torch.no_grad(): score ="
    )
    assert said(tmp_path, text)[1] == []


def test_that_a_graph_that_is_retained_for_nothing_is_needless(tmp_path) -> None:
    text = NEEDED_AND_NOT.format(
        score="0.0", retain=", retain_graph=True", kept="again = loss_of(module, batch).item()"
    )
    (sentence,) = said(tmp_path, text)[1]
    assert sentence.startswith("retain_graph=True in own.py, line 15 is needless: ")


def test_that_a_retained_graph_that_is_used_again_is_not_named(tmp_path) -> None:
    text = NEEDED_AND_NOT.format(
        score="0.0",
        retain=", retain_graph=True",
        kept="gradients = torch.autograd.grad(loss, weights)",
    )
    assert said(tmp_path, text)[1] == []


def test_that_a_needless_graph_of_backward_is_named_too(tmp_path) -> None:
    step = """
def step(module, batch):
    loss_of(module, batch).backward(create_graph=True)
    with torch.no_grad():
        for weight in module.parameters():
            weight -= 0.1 * weight.grad
            weight.grad = None
"""
    (sentence,) = said(tmp_path, step)[1]
    assert "create_graph=True in own.py, line 11 is needless: " in sentence


def test_that_a_graph_used_twice_is_needless_where_retaining_it_is_enough(tmp_path) -> None:
    step = """
def step(module, batch):
    weights = list(module.parameters())
    loss = loss_of(module, batch)
    first = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for weight, one, other in zip(weights, first, second):
            weight -= 0.1 * one + 0.1 * other
"""
    (sentence,) = said(tmp_path, step)[1]
    assert "line 13 is needless" in sentence


def test_that_of_several_graphs_only_the_needless_one_is_named(tmp_path) -> None:
    step = PENALTY.format(imports="", grad="torch.autograd.grad", share=1.0).replace(
        ".backward()", ".backward(create_graph=True)"
    )
    (sentence,) = said(tmp_path, step)[1]
    assert "line 16 is needless" in sentence


def test_that_a_step_of_other_numbers_each_time_is_not_judged(tmp_path) -> None:
    step = "import random\n" + STEP.format(call=NEEDLESS["by keyword"]).replace(
        "0.1 *", "random.random() *"
    )
    (sentence,) = said(tmp_path, step)[1]
    assert sentence.startswith("Whether create_graph=True is needed was not judged")


def test_that_torch_is_as_it_was_afterwards(tmp_path) -> None:
    before = torch.autograd.grad, torch.autograd.backward  # noqa: TID251 - compared, not called
    said(tmp_path, STEP.format(call=NEEDLESS["by another name"]))
    assert (torch.autograd.grad, torch.autograd.backward) == before  # noqa: TID251
