"""A file of the user's: what it may define, and the sentence for everything else."""

import os
import re
import sys
import threading

import pytest
import torch

from core.engine.user_file import UserFileError, attempted, built, guarded, load, load_anew
from core.engine.user_trial import completed
from core.spec.python_model import PythonModel
from tests.own_models import HEAD, NETWORK, own_spec, written


def model_of(file, **keys: object) -> PythonModel:
    return PythonModel(file=str(file), input_shape=(8,), **keys)


def test_that_a_file_gives_its_module_loss_and_step(tmp_path) -> None:
    text = NETWORK + "def loss(module, batch): ...\ndef step(module, batch): ...\n"
    file = load(model_of(written(tmp_path, text)))
    assert isinstance(file.make(), torch.nn.Sequential)
    assert file.loss is not None
    assert file.step is not None


def test_that_what_a_file_does_not_define_is_absent(tmp_path) -> None:
    file = load(model_of(written(tmp_path, NETWORK + "loss = 3\n")))
    assert (file.loss, file.step) == (None, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise ValueError('no\\nweights')", "own.py, line 3: loading the file raised ValueError: "
         "no weights."),
        ("def model(:", "own.py, line 3: invalid syntax."),
        ("import sys\nsys.exit(3)", "own.py, line 4: loading the file raised SystemExit: 3."),
        ("raise KeyboardInterrupt", "own.py, line 3: loading the file raised KeyboardInterrupt: "
         "without a message."),
        ("import no_such_module_here", "own.py, line 3: loading the file raised "
         "ModuleNotFoundError: No module named 'no_such_module_here'."),
        ("def network():\n    return nn.Linear(8, 3)\ndef loss(m, b): ...",
         'model.callable: "model" was given; own.py defines network.'),
        ("", 'model.callable: "model" was given; own.py defines nothing that could be called.'),
        ("model = nn.Linear(8, 3)", 'model.callable: "model" was given; in own.py it is a module '
         "itself; allowed: a class or function that makes one."),
        ("def model():\n    raise KeyError('w')", "own.py, line 4: model() raised KeyError: 'w'."),
        ("def model(width):\n    return nn.Linear(8, width)", "own.py: model() raised TypeError: "
         "model() missing 1 required positional argument: 'width'."),
        ("def model():\n    return 3", "model() of own.py gives a value of type int; allowed: a "
         "torch.nn.Module."),
        ("def model():\n    return nn.Linear(9, 3)", "own.py: the module's forward raised "
         "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x8 and 9x3)."),
        ("class model(nn.Module):\n    def forward(self, x):\n        return [x]",
         "The module of own.py gives a value of type list for a batch of 2; allowed: a tensor with "
         "the batch on its first axis, or a loss(module, batch) in the file that takes something "
         "else."),
        ("class model(nn.Module):\n    def forward(self, x):\n        return x.sum()",
         "The module of own.py gives a tensor of shape () for a batch of 2; allowed: a tensor with "
         "the batch on its first axis, or a loss(module, batch) in the file that takes something "
         "else."),
    ],
)  # fmt: skip
def test_that_a_file_that_cannot_be_used_says_why_in_one_sentence(
    text: str, sentence: str, tmp_path
) -> None:
    with pytest.raises(UserFileError, match=f"^{re.escape(sentence)}$"):
        completed(own_spec(written(tmp_path, text)))


def test_that_a_file_that_is_not_text_is_told(tmp_path) -> None:
    (tmp_path / "own.py").write_bytes(b"\x00\xff")
    with pytest.raises(UserFileError, match=r"^own\.py.* raised SyntaxError"):
        load(model_of(tmp_path / "own.py"))


def test_that_a_file_that_went_away_is_told(tmp_path) -> None:
    with pytest.raises(UserFileError, match=r"gone\.py cannot be read\.$"):
        load(model_of(tmp_path / "gone.py"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import threading\nthreading.Event().wait()", "loading the file"),
        ("def model():\n    import threading\n    threading.Event().wait()", "model()"),
        (
            "class model(nn.Module):\n    def forward(self, x):\n        import threading\n"
            "        threading.Event().wait()",
            "the module's forward",
        ),
    ],
)
def test_that_a_file_that_hangs_is_given_up(text: str, what: str, tmp_path) -> None:
    sentence = rf"^own\.py: {re.escape(what)} has not come to an end after 0\.2 s\.$"
    with pytest.raises(UserFileError, match=sentence):
        completed(own_spec(written(tmp_path, text)), patience_s=0.2)


def test_that_a_file_is_run_again_once_it_was_changed_however_quickly(tmp_path) -> None:
    """Compiled files go by whole seconds and sizes; both are the same here."""
    file = written(tmp_path, "def model():\n    return nn.Linear(8, 1)\n")
    stat = file.stat()
    assert load(model_of(file)).make().out_features == 1
    written(tmp_path, "def model():\n    return nn.Linear(8, 2)\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    assert load(model_of(file)).make().out_features == 2
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]


def test_that_a_file_is_run_once_unless_it_is_wanted_anew(tmp_path) -> None:
    file = model_of(written(tmp_path, "kept = []\n" + NETWORK))
    load(file).names["kept"].append(1)
    assert load(file).names["kept"] == [1]
    assert load_anew(file).names["kept"] == []
    assert load(file).names["kept"] == [1]


def test_that_a_file_imports_its_neighbours(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "its_neighbour.py").write_text("width = 5\n")
    text = "from its_neighbour import width\ndef model():\n    return nn.Linear(8, width)\n"
    assert load(model_of(written(tmp_path, text))).make().out_features == 5


def test_that_a_seed_gives_the_same_weights_and_leaves_random_numbers_alone(tmp_path) -> None:
    model = model_of(written(tmp_path, NETWORK))
    file, state = load(model), torch.get_rng_state()
    first, second, other = built(model, file, 7), built(model, file, 7), built(model, file, 8)
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    assert torch.equal(first[0].weight, torch.nn.Linear(8, 16).weight)


def test_that_a_module_that_is_not_new_is_refused(tmp_path) -> None:
    text = "net = nn.Linear(8, 3)\ndef model():\n    return nn.Sequential(net)\n"
    model = model_of(written(tmp_path, text))
    file = load(model)
    first = built(model, file, 0)
    with pytest.raises(UserFileError, match=r"gives the same weights again"):
        built(model, file, 0)
    assert first is not None


def test_that_want_of_memory_is_no_fault_of_the_file(tmp_path) -> None:
    def work() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        attempted(tmp_path, "work", work)
    with pytest.raises(MemoryError):
        guarded(tmp_path, "work", work, 10.0)


def test_that_no_thread_is_left_of_a_file_that_ends(tmp_path) -> None:
    (tmp_path / "plain.py").write_text(HEAD + NETWORK)
    before = threading.active_count()
    load(model_of(tmp_path / "plain.py"))
    assert threading.active_count() == before
