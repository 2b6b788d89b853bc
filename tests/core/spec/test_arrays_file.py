"""Whatever a file holds, it is arrays or one sentence."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.spec.arrays_file import UnreadableArrays, read_arrays

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.arange(6, dtype=np.int64)


def npz(*, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, x=X, y=Y)
    return stream.getvalue()


def zip_of(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def npy(array: object = X) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def sentence(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(UnreadableArrays) as caught:
        read_arrays(str(file), (4,))
    return str(caught.value)


DEFLATE_DAMAGED = bytearray(npz(compressed=True))
DEFLATE_DAMAGED[60:90] = b"\xff" * 30
HEADER_DAMAGED = npy().replace(b"{'descr'", b"{'''scr'")


@pytest.mark.parametrize("compressed", [False, True])
def test_that_an_npz_is_read_as_it_was_written(tmp_path: Path, compressed: bool) -> None:
    (tmp_path / "a.npz").write_bytes(npz(compressed=compressed))
    arrays = read_arrays(str(tmp_path / "a.npz"), (4,))
    assert arrays.x.tolist() == X.tolist()
    assert arrays.y.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(DEFLATE_DAMAGED), "not a complete .npz"),
        (zip_of(x__npy=HEADER_DAMAGED, y__npy=npy(Y)), "not a complete .npz"),
        (zip_of(x__npy=npy()[:90], y__npy=npy(Y)), "not a complete .npz"),
        (zip_of(x__npy=npy(np.array([{}])), y__npy=npy(Y)), "plain numbers"),
        (zip_of(x=b"1, 2, 3", y__npy=npy(Y)), "has no array x; it needs x and y and holds: x, y"),
        (zip_of(x__npy=npy()), "has no array y; it needs x and y and holds: x."),
        (npy(), "holds one array; it needs two, x and y."),
        (b"", "not a complete .npz"),
    ],
)
def test_that_a_damaged_npz_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    said = sentence(tmp_path / "a.npz", content)
    assert words in said
    assert said.endswith(".")


@pytest.mark.parametrize("file", ["~nosuchuser/x.npz", "x" * 5000 + ".npz", "a\0b.npz", "/"])
def test_that_a_path_that_cannot_be_is_one_sentence(file: str) -> None:
    with pytest.raises(UnreadableArrays, match=r"is not a file that can be opened\.$"):
        read_arrays(file, (4,))


@settings(
    deadline=None,
    max_examples=300,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    compressed=st.booleans(),
    keep=st.floats(0, 1),
    damage=st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(0, 255), max_size=8),
)
@pytest.mark.filterwarnings("ignore")
def test_that_no_damage_whatever_raises_anything_but_a_sentence(
    tmp_path: Path, compressed: bool, keep: float, damage: dict[float, int]
) -> None:
    content = bytearray(npz(compressed=compressed))
    for place, value in damage.items():
        content[int(place * len(content))] = value
    file = tmp_path / "a.npz"
    file.write_bytes(content[: int(keep * len(content)) if not damage else None])
    with suppress(UnreadableArrays):
        read_arrays(str(file), (4,))


def test_that_a_csv_without_a_header_is_refused_and_loses_no_example(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    assert "its first row must name the columns." in sentence(file, b"1,2,3,4,5\n6,7,8,9,10\n")
    assert "its first row must name the columns." in sentence(
        file, b"\xef\xbb\xbf1,2,3,4,-5e3\n6,7,8,9,10\n"
    )
    file.write_bytes(b"a,b,c,4,y\n6,7,8,9,10\n")
    assert read_arrays(str(file), (4,)).y.tolist() == [[10]]
