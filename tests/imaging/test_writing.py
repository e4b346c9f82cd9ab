"""What cannot be written leaves what was there as it was, nothing beside it, and says so in one sentence."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_imagefit import fit_voxels
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.files.export import write
from napari_imagefit.imaging.fitting.writing import write_files

# Every writer, over what it wrote before, where no file may be longer than 3000 bytes.
LIMITED = """
import json, os, resource, sys
from pathlib import Path
import numpy as np
from napari_imagefit import fit_spots, fit_voxels
from napari_imagefit.imaging.files.export import write
from napari_imagefit.imaging.files.localisations import write_localisations

rng = np.random.default_rng(0)
t = np.arange(8.0)
tau = rng.uniform(2, 5, (50, 40))
voxels = fit_voxels(3 * np.exp(-t[:, None, None] / tau) + rng.normal(0, 0.01, (8, 50, 40)), "exponential_decay", x=t)
points = np.stack(np.mgrid[6:150:12, 6:150:12], axis=-1).reshape(-1, 2)
y, x = np.mgrid[:150, :150]
image = sum(90 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 4) for a, b in points) + rng.normal(0, 1, y.shape)
spots = fit_spots(image, points, "gaussian_2d")

def localisations(style):
    return lambda path: write_localisations(spots, path, style, pixel_size=100, units="nm")

def maps(path):
    write(voxels, path, overwrite=True)

writers = {
    **dict.fromkeys(["a.ome.tif", "b.nii", "c.nii.gz", "d.zarr", "e.csv"], maps),
    "f.csv": localisations("imagefit"),
    "g_locs.csv": localisations("picasso"), "h.thunderstorm.csv": localisations("thunderstorm"),
}
if json.loads(sys.argv[2]):
    writers |= {"i.parquet": maps, "j.parquet": localisations("imagefit")}

def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

for name, writer in writers.items():
    folder = Path(sys.argv[1]) / name.partition(".")[0]
    folder.mkdir()
    said = []
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    for there in (False, True):
        if there:
            writer(folder / name)
        before = contents(folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, most))
        try:
            writer(folder / name)
            said.append("written")
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        said.append(contents(folder) == before and (there or not os.listdir(folder)))
    print(json.dumps([name, *said]))
"""


def has_pyarrow() -> bool:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path), json.dumps(has_pyarrow())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tried = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tried) == 8 + 2 * has_pyarrow()
    for name, fresh, nothing_left, again, kept in tried:
        # of a folder or of several maps it is named which
        for said in (fresh, again):
            assert said.startswith("FitInputError: '"), (name, said)
            assert name.partition(".")[0] in said.partition(" cannot be written: ")[0].rpartition("/")[2], (name, said)
            assert "File too large" in said or "the disk may be full" in said, (name, said)
            assert "\n" not in said
        assert nothing_left, name
        assert kept, name
    assert not done.stderr


def write_text(path: Path, text: str) -> None:
    write_files([(path, lambda to: to.write_text(text))])


def test_all_or_none(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        write_text(tmp_path / name, "old")

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(FitInputError, match=r"b\.txt' cannot be written: No space left on device; make room"):
        write_files([(tmp_path / "a.txt", lambda to: to.write_text("new")), (tmp_path / "b.txt", fail)])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old", "b.txt": "old"}
    with pytest.raises(KeyError):
        write_files([(tmp_path / "c.txt", lambda _: {}["x"])])
    assert len(os.listdir(tmp_path)) == 2


def test_folders_that_were_made_for_nothing_go(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(FitInputError, match="No space left"):
        write_files([(tmp_path / "new" / "deep" / "a.txt", fail)], new_folder=True)
    assert os.listdir(tmp_path) == []
    with pytest.raises(FitInputError, match=r"a\.txt' cannot be written: No such file or directory"):
        write_text(tmp_path / "new" / "a.txt", "x")


def test_names_that_are_too_long(tmp_path: Path) -> None:
    with pytest.raises(FitInputError, match="cannot be written: File name too long; choose a shorter name"):
        write_text(tmp_path / ("a" * 300), "x")
    single = fit_voxels(3 * np.exp(-np.arange(8.0)[:, None] / [2.0, 4.0]), "exponential_decay", x=np.arange(8.0))
    # of NIfTI the name of the map makes it too long
    for name in ("a" * 300 + ".csv", "a" * 240 + ".nii", "a" * 250 + ".zarr", "a" * 300 + "/a.csv"):
        with pytest.raises(FitInputError, match=r"File name too long; choose a shorter name|does not exist"):
            write(single, tmp_path / name)
    with pytest.raises(FitInputError, match="File name too long"):
        write(single, tmp_path / ("a" * 300), format="csv")
    assert os.listdir(tmp_path) == []
    # as long as a name may be
    write_text(tmp_path / ("a" * 255), "x")
    assert os.listdir(tmp_path) == ["a" * 255]


def test_only_what_a_file_can_take_the_place_of(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    with pytest.raises(FitInputError, match="data' is a folder of other files; choose another name"):
        write_text(tmp_path / "data", "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FitInputError, match="empty' is a folder; choose another name"):
        write_text(tmp_path / "empty", "x")
    with pytest.raises(FitInputError, match="precious' is a file; choose another name"):
        write_files([(tmp_path / "data" / "precious", lambda to: to.mkdir())])
    # a Zarr folder gives way to another
    (tmp_path / "old.zarr").mkdir()
    (tmp_path / "old.zarr" / "zarr.json").write_text("{}")
    write_files([(tmp_path / "old.zarr", lambda to: to.mkdir())])
    assert os.listdir(tmp_path / "old.zarr") == []
    assert sorted(os.listdir(tmp_path)) == ["data", "empty", "old.zarr"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are of other systems")
def test_links_pipes_and_permissions(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.txt"
    real.write_text("old")
    real.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FitInputError, match="pipe' is no file that can be replaced"):
        write_text(tmp_path / "pipe", "x")
    if os.getuid():  # whom nothing is forbidden
        real.chmod(0o440)
        with pytest.raises(FitInputError, match="Permission denied"):
            write_text(real, "newer")
