from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from sedsep.errors import UserError
from sedsep.scenes.rooms import Room, open_room, write_sofa

RATE = 16000


@pytest.fixture
def responses() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 4, 300)).astype(np.float32)


@pytest.fixture
def positions() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((6, 3))


@pytest.fixture
def path(tmp_path: Path, responses: np.ndarray, positions: np.ndarray) -> Path:
    write_sofa(tmp_path / "room.sofa", responses, positions, RATE, title="room")
    return tmp_path / "room.sofa"


def test_what_is_written_is_read_back(path: Path, responses: np.ndarray, positions: np.ndarray) -> None:
    room = Room(path, RATE, 4)
    assert (len(room), room.taps) == (6, 300)
    np.testing.assert_array_equal(room.positions, positions)
    for index in range(6):
        response = room.response(index)
        assert response.dtype == np.float32
        np.testing.assert_array_equal(response, responses[index])


def test_nearest_finds_the_closest_position_and_the_first_among_equals(tmp_path: Path, responses: np.ndarray) -> None:
    positions = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0], [2, 2, 2], [0, 1, 0]], np.float64)
    write_sofa(tmp_path / "ties.sofa", responses, positions, RATE, title="ties")
    room = Room(tmp_path / "ties.sofa", RATE, 4)
    assert room.nearest((0.1, 0.9, 0.0)) == 1
    assert room.nearest((1.9, 2.0, 2.2)) == 4
    assert room.nearest((0.5, 0.5, -3.0)) == 0


def test_the_file_is_a_netcdf_sofa_file(path: Path) -> None:
    with h5py.File(path) as file:
        assert file.attrs["Conventions"] == b"SOFA"
        assert file.attrs["SOFAConventions"] == b"SingleRoomSRIR"
        assert file.attrs["DataType"] == b"FIR"
        axes = {name: [dim[0].name.strip("/") for dim in file[name].dims] for name in file if name not in "MRNEIC"}
        assert axes["Data.IR"] == ["M", "R", "N"]
        assert axes["Data.SamplingRate"] == ["I"]
        assert axes["Data.Delay"] == ["I", "R"]
        assert axes["ListenerPosition"] == axes["SourcePosition"] == ["M", "C"]
        assert axes["ReceiverPosition"] == ["R", "C", "I"]
        assert axes["EmitterPosition"] == ["E", "C", "I"]
        assert {name: file[name].shape[0] for name in "MRNEIC"} == {"M": 6, "R": 4, "N": 300, "E": 1, "I": 1, "C": 3}
        assert file["SourcePosition"].attrs["Type"] == b"cartesian"
        # A scene reads single positions.
        assert file["Data.IR"].chunks == (1, 4, 300)


def test_equal_rooms_give_equal_bytes(path: Path, responses: np.ndarray, positions: np.ndarray) -> None:
    before = path.read_bytes()
    write_sofa(path, responses, positions, RATE, title="room")
    assert path.read_bytes() == before


@pytest.mark.parametrize(("dtype", "compressed"), [(np.float64, False), (np.float32, False), (np.float64, True)])
def test_rooms_stored_in_other_ways_are_read_alike(
    tmp_path: Path, responses: np.ndarray, positions: np.ndarray, dtype: type, compressed: bool
) -> None:
    path = tmp_path / "room.sofa"
    write_sofa(path, responses, positions, RATE, title="room", dtype=dtype, compressed=compressed)
    with h5py.File(path) as file:
        assert file["Data.IR"].dtype == dtype
        assert (file["Data.IR"].compression is not None) == compressed
    response = Room(path, RATE, 4).response(4)
    assert response.dtype == np.float32
    np.testing.assert_array_equal(response, responses[4])


def test_more_rooms_than_may_stay_open_are_read(tmp_path: Path, responses: np.ndarray, positions: np.ndarray) -> None:
    for number in range(20):
        write_sofa(tmp_path / f"{number}.sofa", (number + 1) * responses, positions, RATE, title=str(number))
    rooms = [open_room(tmp_path / f"{number}.sofa", RATE, 4) for number in range(20)]
    for number, room in [*enumerate(rooms), *enumerate(rooms)]:
        np.testing.assert_array_equal(room.response(0), (number + 1) * responses[0])


def test_a_failed_write_leaves_the_old_file_and_no_other(
    path: Path, responses: np.ndarray, positions: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sofa(path, responses, positions, RATE, title="room")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_rewritten_room_is_read_anew(path: Path, responses: np.ndarray, positions: np.ndarray) -> None:
    assert open_room(path, RATE, 4) is open_room(path, RATE, 4)
    open_room(path, RATE, 4).response(0)
    write_sofa(path, 2 * responses, positions, RATE, title="room")
    np.testing.assert_array_equal(open_room(path, RATE, 4).response(0), 2 * responses[0])


@pytest.mark.parametrize("own", [None, -99.0, np.nan])
def test_masked_entries_are_silent(path: Path, responses: np.ndarray, own: float | None) -> None:
    with h5py.File(path, "r+") as file:
        if own is not None:
            file["Data.IR"].attrs["_FillValue"] = np.float32(own)
        file["Data.IR"][2, 1, 10:20] = 9.969209968386869e36 if own is None else own
    expected = responses[2].copy()
    expected[1, 10:20] = 0
    np.testing.assert_array_equal(Room(path, RATE, 4).response(2), expected)


def _norm(room: Room) -> float:
    return float(np.abs(room.response(3)).sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_open_room_may_be_used_by_workers(path: Path, method: str) -> None:
    room = Room(path, RATE, 4)
    expected = _norm(room)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_norm, [room] * 4) == [expected] * 4
    assert _norm(room) == _norm(pickle.loads(pickle.dumps(room))) == expected


def test_the_goldens_rooms_are_readable(golden: Path) -> None:
    for name in ("roomV.sofa", "roomW.sofa"):
        room = Room(golden / "scenes" / "dev_set" / "room_ir" / "valid" / name, 32000, 4)
        assert (len(room), room.taps) == (6, 3200)


def _change(path: Path, name: str, value: np.ndarray | None) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("Data.IR", None, "lacks Data.IR"),
        ("SourcePosition", None, "lacks SourcePosition"),
        ("Data.SamplingRate", np.array([480.0]), "sampled at 480 Hz, expected one whole number"),
        ("Data.IR", np.ones((6, 2, 300)), r"shape \[6, 2, 300\]"),
        ("Data.IR", np.ones((6, 4, 1, 300)), r"shape \[6, 4, 1, 300\]"),
        ("SourcePosition", np.ones((5, 3)), r"positions of shape \[5, 3\]"),
        ("SourcePosition", np.full((6, 3), np.nan), "expected finite numbers"),
    ],
)
def test_an_unfit_room_gives_one_sentence_that_names_it(path: Path, name: str, value, says: str) -> None:
    _change(path, name, value)
    with pytest.raises(UserError, match=says) as error:
        Room(path, RATE, 4)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.sofa does not exist"):
        Room(tmp_path / "nowhere.sofa", RATE, 4)
    (tmp_path / "folder.sofa").mkdir()
    with pytest.raises(UserError, match=r"folder\.sofa is a folder, not a file"):
        Room(tmp_path / "folder.sofa", RATE, 4)
    (tmp_path / "text.sofa").write_text("no room")
    with pytest.raises(UserError, match=r"text\.sofa is not a readable SOFA file"):
        Room(tmp_path / "text.sofa", RATE, 4)


def test_a_response_with_nan_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["Data.IR"][1, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"room\.sofa holds a magnitude of nan in Data.IR, position 1"):
        Room(path, RATE, 4).response(1)
