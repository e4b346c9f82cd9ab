"""`napari-imagefit run` under fault: changed, incomplete and unreadable input, lost and damaged results, no room."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner, Result
from zarr.storage import LocalStore

from napari_imagefit import FitResult, fit_voxels
from napari_imagefit.command_line.app import app
from napari_imagefit.imaging.files.zarr_store import ResultStore

RNG = np.random.default_rng(0)
T = np.linspace(0, 5, 16)
STACK = RNG.uniform(1, 3, (8, 12)) * np.exp(-T[:, None, None] / RNG.uniform(0.5, 2, (8, 12))) + 0.3
STACK = (STACK + RNG.normal(0, 0.03, STACK.shape)).astype(np.float32)
RECIPE: dict[str, Any] = {"verb": "fit_voxels", "model": "exponential_decay", "axis": 0, "x": T.tolist()}
POINTS = np.column_stack([np.repeat(np.arange(3), 4), RNG.uniform(6, 30, (12, 2))])
MOVIE = RNG.normal(5, 1, (3, 36, 36)).astype(np.float32)
Y, X = np.indices(MOVIE.shape[1:])
for at, y, x in POINTS:
    MOVIE[int(at)] += 60 * np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 1.3**2)


def run(*arguments: Any) -> Result:
    done = CliRunner().invoke(app, ["run", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done


@pytest.fixture
def voxels(tmp_path: Path) -> tuple[Any, ...]:
    """The command without its output: 12 chunks of 8 fits."""
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    zarr.create_array(str(tmp_path / "stack.zarr"), data=STACK, chunks=(16, 4, 2))
    return tmp_path / "recipe.json", tmp_path / "stack.zarr", "--fits-per-chunk", 8


@pytest.fixture
def spots(tmp_path: Path) -> tuple[Any, ...]:
    """The same for spots, whose chunks in a map hold those of all frames."""
    (tmp_path / "spots.json").write_text(json.dumps({"verb": "fit_spots", "model": "gaussian_2d", "window": 7}))
    np.save(tmp_path / "movie.npy", MOVIE)
    np.savetxt(tmp_path / "points.csv", POINTS, "%.17g", ",", header="frame,point_y,point_x", comments="")
    return tmp_path / "spots.json", tmp_path / "movie.npy", "--points", tmp_path / "points.csv", "--fits-per-chunk", 4


def maps(folder: Path) -> dict[str, bytes]:
    """Every array of a result, bit by bit."""
    members = zarr.open_group(str(folder), mode="r").members(max_depth=None)
    return {name: array[...].tobytes() for name, array in members if isinstance(array, zarr.Array)}


@pytest.fixture
def before_piece(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], Any]:
    """A context in which something happens before a piece is written."""

    @contextmanager
    def during(number: int, happen: Callable[[], None]) -> Iterator[None]:
        write = ResultStore.write

        def writing(store: ResultStore, piece: int, result: FitResult) -> None:
            if piece == number:
                happen()
            write(store, piece, result)

        with monkeypatch.context() as patch:
            patch.setattr(ResultStore, "write", writing)
            yield

    return during


def stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", [{}, {"zarr_format": 2}, {"shards": (16, 4, 6)}], ids=["3", "2", "shards"])
def test_a_change_of_some_chunks_is_seen(
    how: dict[str, Any], tmp_path: Path, voxels: tuple[Any, ...], before_piece: Any
) -> None:
    recipe, stack, *rest = voxels
    shutil.rmtree(stack)
    array = zarr.create_array(str(stack), data=STACK, chunks=(16, 4, 2), **how)
    with before_piece(3, stop):
        assert run(recipe, stack, *rest, "-o", tmp_path / "out").exit_code == 130
    array[:, 4:, 6:] = STACK[:, :4, :6]
    refused = run(recipe, stack, *rest, "-o", tmp_path / "out")
    assert refused.exit_code == 1
    assert f"{str(stack)!r} was changed since the results in" in refused.stderr
    assert run(recipe, stack, *rest, "-o", tmp_path / "new").exit_code == 0


def test_a_change_while_it_is_fitted_is_said(tmp_path: Path, voxels: tuple[Any, ...], before_piece: Any) -> None:
    def change() -> None:
        zarr.open_array(str(voxels[1]), mode="r+")[:, 4:] = STACK[:, :4]

    with before_piece(3, change):
        done = run(*voxels, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "was changed while it was fitted" in done.stderr
    with before_piece(3, lambda: shutil.rmtree(voxels[1])):
        done = run(*voxels, "-o", tmp_path / "gone")
    assert done.exit_code == 1


def test_chunks_that_the_input_lacks_are_said(tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    """Zarr leaves out what is zero everywhere, and reads what was lost as zero: nobody can tell one from the other."""
    whole = run(*voxels, "-o", tmp_path / "whole")
    assert "lacks" not in whole.stderr
    (voxels[1] / "c" / "0" / "1" / "2").unlink()
    done = run(*voxels, "-o", tmp_path / "lacking")
    assert done.exit_code == 0
    assert "the input lacks 1 of its 12 chunks, which Zarr takes to be 0.0 everywhere" in done.stderr
    assert "lacks 1 of" in zarr.open_group(str(tmp_path / "lacking"), mode="r").attrs["napari_imagefit"]["remark"]

    dark = STACK.copy()
    dark[:, :4] = 0
    zarr.create_array(str(tmp_path / "dark.zarr"), data=dark, chunks=(16, 4, 2))
    assert "lacks 6 of its 12" in run(voxels[0], tmp_path / "dark.zarr", "-o", tmp_path / "dark").stderr


def test_what_is_lost_of_finished_chunks_is_fitted_again(tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    command = (*voxels, "-o", tmp_path / "out")
    assert run(*command).exit_code == 0
    whole = maps(tmp_path / "out")
    np.testing.assert_array_equal(
        np.frombuffer(whole["params/tau"]).reshape(8, 12), fit_voxels(STACK, "exponential_decay", x=T).params["tau"]
    )
    (tmp_path / "out" / "params" / "tau" / "c" / "0" / "1").unlink()
    (tmp_path / "out" / "status" / "c" / "1" / "3").write_bytes(b"")
    # never another value than the fill value
    (tmp_path / "out" / "at_bound" / "tau" / "c" / "1" / "5").unlink()
    again = run(*command)
    assert again.exit_code == 0
    assert "9 of 12 chunks were there already" in again.stderr
    assert "3 chunks that were finished lack files now, and are fitted again" in again.stderr
    assert maps(tmp_path / "out") == whole
    assert "12 of 12 chunks" in run(*command).stderr


def test_spots_that_share_a_lost_file_are_all_fitted_again(
    tmp_path: Path, spots: tuple[Any, ...], before_piece: Any
) -> None:
    command = (*spots, "-o", tmp_path / "out")
    assert run(*command).exit_code == 0
    whole = maps(tmp_path / "out")
    (tmp_path / "out" / "stderr" / "x" / "c" / "0").unlink()
    # the first of them makes the file again, and says nothing of the others
    with before_piece(1, stop):
        assert run(*command).exit_code == 130
    assert run(*command).exit_code == 0
    assert maps(tmp_path / "out") == whole


@pytest.mark.parametrize(
    "lost",
    ["params/tau", "params/tau/zarr.json", "params", "finished_pieces", "finished_pieces/zarr.json", "covariance"],
)
def test_maps_that_are_gone_are_made_again(lost: str, tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    """Thus one goes on also after an end amid the making of them."""
    command = (*voxels, "-o", tmp_path / "out")
    assert run(*command).exit_code == 0
    whole = maps(tmp_path / "out")
    path = tmp_path / "out" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = run(*command)
    assert again.exit_code == 0, again.output
    assert maps(tmp_path / "out") == whole


def test_points_of_spots_are_known_without_their_array(tmp_path: Path, spots: tuple[Any, ...]) -> None:
    command = (*spots, "-o", tmp_path / "out")
    assert run(*command).exit_code == 0
    whole = maps(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "points")
    assert run(*command).exit_code == 0
    assert maps(tmp_path / "out") == whole
    shutil.rmtree(tmp_path / "out" / "points")
    np.savetxt(spots[3], POINTS + 0.1, "%.17g", ",", header="frame,point_y,point_x", comments="")
    assert "other points" in run(*command).stderr


def test_damaged_results_are_said(tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    command = (*voxels, "-o", tmp_path / "out")
    assert run(*command).exit_code == 0
    tau = tmp_path / "out" / "params" / "tau"

    def refusal() -> str:
        done = run(*command)
        assert done.exit_code == 1
        return done.stderr

    described = (tau / "zarr.json").read_text()
    (tau / "zarr.json").write_text(described[:50])
    assert "'params/tau' cannot be read; remove the folder" in refusal()
    (tau / "zarr.json").write_text(described.replace("float64", "float32"))
    assert "'params/tau' cannot be read" in refusal()
    (tau / "zarr.json").write_text(described)
    (tmp_path / "out" / "status" / "c" / "0" / "0").write_bytes(b"garbage")
    assert "'status' cannot be read" in refusal()
    shutil.rmtree(tmp_path / "out" / "status")
    assert run(*command).exit_code == 0

    # what other parts of the program write there is no result of this one
    zarr.create_group(str(tmp_path / "image.zarr"), attributes={"napari_imagefit": {"program": "0.1"}})
    refused = run(*voxels, "-o", tmp_path / "image.zarr")
    assert refused.exit_code == 1
    assert "another version" in refused.stderr


def test_two_runs_at_once_lose_nothing_of_each_other(
    tmp_path: Path, spots: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a map holds several pieces of spots: while one is put into it, another has to wait."""
    pytest.importorskip("fcntl")
    write, store_set = ResultStore.write, LocalStore.set
    pieces: dict[int, FitResult] = {}
    stores: list[ResultStore] = []

    def keep(store: ResultStore, piece: int, result: FitResult) -> None:
        stores.append(store)
        pieces[piece] = result

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "write", keep)
        assert run(*spots, "-o", tmp_path / "out").exit_code == 0
    assert run(*spots, "-o", tmp_path / "whole").exit_code == 0
    other = threading.Thread(target=write, args=(stores[0], 1, pieces[1]))

    async def while_the_other_writes(store: LocalStore, *arguments: Any) -> None:
        if other.ident is None:
            other.start()
            await asyncio.sleep(1.5)
        await store_set(store, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", while_the_other_writes)
        write(stores[0], 0, pieces[0])
    other.join()
    for piece in pieces.keys() - {0, 1}:
        write(stores[0], piece, pieces[piece])
    assert maps(tmp_path / "out") == maps(tmp_path / "whole")


def test_a_damaged_chunk_of_several_pieces_is_said(tmp_path: Path, spots: tuple[Any, ...], before_piece: Any) -> None:
    command = (*spots, "-o", tmp_path / "out")
    with before_piece(1, stop):
        assert run(*command).exit_code == 130
    (tmp_path / "out" / "stderr" / "x" / "c" / "0").write_bytes(b"garbage")
    refused = run(*command)
    assert refused.exit_code == 1
    assert "'stderr/x' cannot be read" in refused.stderr
    shutil.rmtree(tmp_path / "out" / "stderr" / "x")
    assert run(*command).exit_code == 0
    assert run(*spots, "-o", tmp_path / "whole").exit_code == 0
    assert maps(tmp_path / "out") == maps(tmp_path / "whole")


def test_results_are_not_written_into_the_input(tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    stack = voxels[1]
    there = sorted(stack.rglob("*"))
    (tmp_path / "link").symlink_to(stack)
    for output in (stack / "out", stack / "c" / "out", tmp_path / "link" / "out", stack / ".." / "stack.zarr" / "x"):
        refused = run(*voxels, "-o", output)
        assert refused.exit_code == 1
        assert "lies inside the input" in refused.stderr
    assert sorted(stack.rglob("*")) == there
    assert run(*voxels, "-o", tmp_path / "stack.zarr.results").exit_code == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", ["pipe.npy", "pipe.tif", "pipe.h5"])
def test_a_pipe_is_refused(name: str, tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    os.mkfifo(tmp_path / name)
    refused = run(voxels[0], tmp_path / name, "-o", tmp_path / "out")
    assert refused.exit_code == 1
    assert "is a pipe or a device" in refused.stderr


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process cannot become larger."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [200, 5_000])
def test_a_file_too_large_is_a_sentence(size: int, tmp_path: Path, voxels: tuple[Any, ...]) -> None:
    """In the middle of what describes the results, and in the middle of them."""
    command = (*voxels[:2], "-o", tmp_path / "out")
    whole = run(*voxels[:2], "-o", tmp_path / "whole")
    assert whole.exit_code == 0
    with largest_file(size):
        full = run(*command)
    assert full.exit_code == 1
    assert "nothing can be written to" in full.stderr
    assert "make room" in full.stderr
    assert run(*command).exit_code == 0
    assert maps(tmp_path / "out") == maps(tmp_path / "whole")


@pytest.mark.parametrize("writes", [3, 70])
@pytest.mark.parametrize("kind", ["voxels", "spots"])
def test_it_goes_on_when_there_is_room(
    kind: str, writes: int, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the disk was full amid the making of maps, and amid a chunk."""
    command = request.getfixturevalue(kind)
    assert run(*command, "-o", tmp_path / "whole").exit_code == 0
    store_set, left = LocalStore.set, iter(range(writes))

    async def full(store: LocalStore, *arguments: Any) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await store_set(store, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        done = run(*command, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    again = run(*command, "-o", tmp_path / "out")
    assert again.exit_code == 0
    assert maps(tmp_path / "out") == maps(tmp_path / "whole")
