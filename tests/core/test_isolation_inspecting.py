"""A look at the user's own model in a process of its own: whatever the file does is an answer."""

import multiprocessing
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from core.isolation import Isolation
from core.results.inspection import InspectedModule, Inspection
from tests.own_models import NETWORK, own_spec, written

METHODS = [
    name for name in ("forkserver", "spawn") if name in multiprocessing.get_all_start_methods()
]
HANG = "open({mark!r}, 'w').close()\nimport threading\nthreading.Event().wait()\n"
SPIN = "open({mark!r}, 'w').close()\nwhile True: pass\n"


@pytest.fixture(scope="module")
def isolation() -> Iterator[Isolation]:
    made = Isolation(METHODS[0])
    yield made
    made.shut_down()


def children() -> int:
    """Processes that were started from here."""
    return len(psutil.Process().children(recursive=True))


@pytest.mark.parametrize("method", METHODS)
def test_that_modules_shapes_and_what_the_file_defines_come_back(method: str, tmp_path) -> None:
    text = "print('hello')\n" + NETWORK + "def loss(module, batch): ...\n"
    isolation = Isolation(method)
    found = isolation.inspect(own_spec(written(tmp_path, text)))
    isolation.shut_down()
    assert found == Inspection(
        modules=(
            InspectedModule(name="0 Linear", output_shape=(16,), parameters=144),
            InspectedModule(name="1 Tanh", output_shape=(16,), parameters=0),
            InspectedModule(name="2 Linear", output_shape=(3,), parameters=51),
        ),
        output_shape=(3,),
        has_loss=True,
        has_step=False,
    )
    assert found.parameters == 195


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("raise ValueError('no')", "own.py, line 3: loading the file raised ValueError: no."),
        ("def net(): ...", 'model.callable: "model" was given; own.py defines net.'),
        (
            "import os\nprint('goodbye', flush=True)\nos._exit(7)",
            "The file ended the process that loaded it. It ended with exit status 7. Its last "
            "words: goodbye",
        ),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "The file ended the process that loaded it. It was ended by SIGKILL (Killed).",
        ),
        (
            "import ctypes\nctypes.string_at(0)",
            "The file ended the process that loaded it. It was ended by SIGSEGV (Segmentation "
            "fault).",
        ),
    ],
)
def test_that_a_file_that_raises_or_ends_its_process_is_a_sentence(
    text: str, fault: str, isolation: Isolation, tmp_path
) -> None:
    found = isolation.inspect(own_spec(written(tmp_path, text)))
    assert found == Inspection(fault=fault)
    assert isolation.inspect(own_spec(written(tmp_path, NETWORK))).fault is None


def test_that_what_does_not_fit_is_told_beside_what_was_found(
    isolation: Isolation, tmp_path
) -> None:
    file = written(tmp_path, NETWORK.replace("8,", "1,"))
    found = isolation.inspect(own_spec(file, input_shape=[1], data={"kind": "sinusoid"}))
    assert found.fault is not None
    assert found.fault.startswith("data.kind: sinusoid needs an output of size 1")
    assert len(found.modules) == 3


@pytest.mark.parametrize("text", [HANG, SPIN], ids=["waits", "computes"])
def test_that_a_file_that_hangs_is_given_up_and_its_process_ended(
    text: str, isolation: Isolation, tmp_path
) -> None:
    isolation.inspect(own_spec(written(tmp_path, NETWORK)))
    before = children()
    mark = tmp_path / "ran"
    file = written(tmp_path, text.format(mark=str(mark)))
    found = isolation.inspect(own_spec(file), patience_s=3.0)
    assert found == Inspection(fault="Loading the file has not come to an end after 3 s.")
    assert mark.exists()
    assert children() == before


@pytest.mark.parametrize("text", [HANG, SPIN], ids=["waits", "computes"])
def test_that_an_inspection_is_cancelled_while_the_file_hangs(
    text: str, isolation: Isolation, tmp_path
) -> None:
    mark, cancelled = tmp_path / "ran", threading.Event()
    spec = own_spec(written(tmp_path, text.format(mark=str(mark))))

    def cancel() -> None:
        while not mark.exists():
            time.sleep(0.001)
        cancelled.set()

    waiting = threading.Thread(target=cancel)
    waiting.start()
    assert isolation.inspect(spec, cancelled) is None
    waiting.join()
