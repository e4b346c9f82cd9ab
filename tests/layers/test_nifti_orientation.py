"""A voxel of a map lies in the file where the voxel lay that it was fitted to, however a reader turned it around."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from napari.layers import Image
from nibabel.orientations import aff2axcodes, axcodes2ornt, io_orientation, ornt_transform

from napari_imagefit import models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.files.export import write_outcome
from napari_imagefit.layers.geometry.nifti_orientation import nifti_grid
from napari_imagefit.layers.geometry.transforms import layer_transform
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

# napari, of a layer that is tilted
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
SHAPE = (3, 4, 5)
T = np.arange(6.0)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine(steps: Any, start: Any, turn: float = 0) -> np.ndarray:
    """From indices to mm, turned about x and z."""
    c, s = np.cos(turn), np.sin(turn)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    found = np.eye(4)
    found[:3, :3] = about_x @ about_z @ np.asarray(steps, float)
    found[:3, 3] = start
    return found


# as scanners write them: to the left, front and head; to the right; sagittal slices; tilted
AFFINES = {
    "LAS": affine(np.diag([-2, 3, 4]), (90, -20, -30)),
    "RAS": affine(np.diag([2, 3, 4]), (-90, 20, 5)),
    "LPS": affine(np.diag([-2, -3, 4]), (30, 20, 5)),
    "PSR": affine([[0, 0, 4], [-2, 0, 0], [0, 3, 0]], (-90, 20, 5)),
    "one size": affine(np.diag([-2, 2, 2]), (90, -20, -30)),
}
TILTED = affine(np.diag([-2, 3, 4]), (90, -20, -30), 0.2)


def stored(mm: np.ndarray) -> nibabel.Nifti1Image:
    """A file: each voxel decays with a time of its own."""
    tau = 2 + 0.05 * np.arange(np.prod(SHAPE)).reshape(SHAPE)
    image = nibabel.Nifti1Image(np.float32(100 * np.exp(-T / tau[..., None])), mm)
    image.header.set_zooms((*image.header.get_zooms()[:3], 10.0))
    return image


def world(mm: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The affine of a layer with these of the file's axes (3 is time), whose world has those axes too."""
    full = np.eye(5)
    full[:3, :3], full[:3, 4] = mm[:3, :3], mm[:3, 3]
    rows = [*order, 4]
    return full[np.ix_(rows, rows)]


def with_affine(order: tuple[int, ...], basis: np.ndarray | None = None) -> Callable[..., Image]:
    def read(image: nibabel.Nifti1Image) -> Image:
        mm = image.affine if basis is None else basis @ image.affine
        data = np.asarray(image.dataobj).transpose(order)
        return Image(data, affine=world(mm, order), metadata={"header": image.header})

    return read


def with_scale(order: tuple[int, ...], **metadata: Any) -> Callable[..., Image]:
    """Sizes and the place of the first voxel, of a file along the axes of the world."""

    def read(image: nibabel.Nifti1Image) -> Image:
        mm = world(image.affine, order)
        data = np.asarray(image.dataobj).transpose(order)
        said = {"affine": image.affine, **metadata}
        return Image(data, scale=np.diag(mm)[:-1], translate=mm[:-1, -1], metadata=said)

    return read


def turned(image: nibabel.Nifti1Image, codes: str) -> nibabel.Nifti1Image:
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))


def canonical(image: nibabel.Nifti1Image) -> Image:
    """Turned to the right, front and head, z first; of the file the header is left."""
    ras = turned(image, "RAS")
    layer = with_scale((2, 1, 0, 3))(ras)
    layer.metadata = {"header": image.header}
    return layer


def flipped(image: nibabel.Nifti1Image) -> Image:
    """Turned around along each axis, which negative scales undo."""
    opposite = dict(zip("LRAPSI", "RLPAIS", strict=True))
    other = turned(image, "".join(opposite[str(code)] for code in aff2axcodes(image.affine)))
    layer = with_scale((2, 1, 0, 3))(other)
    layer.metadata = {"affine": image.affine, "header": image.header}
    return layer


def mirrored(image: nibabel.Nifti1Image) -> Image:
    """Turned to the right, front and head, z first; only the picture is turned around by negative scales.

    The affine is of the turned data and has time, the header is the file's; a tilt is not shown.
    """
    ras = turned(image, "RAS")
    data = np.asarray(ras.dataobj).transpose(2, 1, 0, 3)
    sizes = np.sqrt((ras.affine[:3, :3] ** 2).sum(axis=0))[::-1]
    first = ras.affine[:3, 3][::-1]
    return Image(
        data,
        scale=[*-sizes, 10.0],
        translate=[*(first + sizes * (np.array(data.shape[:3]) - 1)), 0.0],
        metadata={"affine": world(ras.affine, (0, 1, 2, 3)), "header": image.header, "coordinate_system": "RAS+"},
    )


def mirrored_as_stored(image: nibabel.Nifti1Image) -> Image:
    """The same with the file's axes in their order, wherever they run to: what is shown lies nowhere in the file."""
    sizes = np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0))[::-1]
    said = {"affine": image.affine, "header": image.header, "direction": np.eye(3)}
    data = np.asarray(image.dataobj).transpose(2, 1, 0, 3)
    return Image(data, scale=[*-sizes, 10.0], translate=(18, 36, -81, 0), metadata=said)


def mirrored_in_short(image: nibabel.Nifti1Image) -> Image:
    """The same where only the affine is left."""
    layer = mirrored(image)
    layer.metadata = {"affine": layer.metadata["affine"]}
    return layer


def only_sizes(order: tuple[int, ...]) -> Callable[..., Image]:
    def read(image: nibabel.Nifti1Image) -> Image:
        sizes = np.array([*np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0)), 10.0])[list(order)]
        return Image(np.asarray(image.dataobj).transpose(order), scale=sizes, metadata={"affine": image.affine})

    return read


def nothing_but_the_affine(image: nibabel.Nifti1Image) -> Image:
    return Image(np.asarray(image.dataobj), metadata={"affine": image.affine})


def in_micrometres(image: nibabel.Nifti1Image) -> Image:
    layer = with_affine((2, 1, 0, 3))(image)
    scaled = layer.affine.affine_matrix.copy()
    scaled[:3] *= 1000
    return Image(layer.data, affine=scaled, units=("um", "um", "um", "ms"), metadata=layer.metadata)


STRAIGHT = [
    with_scale((0, 1, 2, 3)),
    with_scale((2, 1, 0, 3)),
    with_scale((3, 2, 1, 0)),
    with_scale((3, 0, 1, 2)),
    flipped,
]
ANY = [
    with_affine((0, 1, 2, 3)),
    with_affine((2, 1, 0, 3)),
    with_affine((3, 2, 1, 0)),
    with_affine((2, 1, 0, 3), LPS),
    with_affine((3, 2, 1, 0), LPS),
    canonical,
    mirrored,
    mirrored_in_short,
    in_micrometres,
]
UNEQUAL = [only_sizes((0, 1, 2, 3)), only_sizes((2, 1, 0, 3)), only_sizes((3, 2, 1, 0))]
CASES = [
    *((name, read) for name in ("LAS", "RAS", "LPS", "one size") for read in STRAIGHT),
    *((name, read) for name in AFFINES for read in ANY),
    *((name, read) for name in ("LAS", "RAS", "LPS", "PSR") for read in UNEQUAL),
    ("PSR", mirrored_as_stored),
    *((name, nothing_but_the_affine) for name in AFFINES),
    *(("tilted", read) for read in [*ANY[:5], mirrored, *UNEQUAL, in_micrometres]),
]


def time_of(layer: Image) -> int:
    return layer.data.shape.index(len(T))


@pytest.mark.parametrize(("name", "read"), CASES)
def test_every_voxel_stays_where_it_was(name: str, read: Callable[..., Image]) -> None:
    image = stored(AFFINES.get(name, TILTED))
    layer = read(image)
    axis = time_of(layer)
    found = nifti_grid(layer.metadata, layer_transform(layer), layer.data.shape, axis, "a")
    assert found is not None
    there = found.arrange(np.take(layer.data, 3, axis=axis))
    if read is mirrored_in_short:
        image = turned(image, "RAS")
    np.testing.assert_array_equal(there, np.asarray(image.dataobj)[..., 3])
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-5)


@pytest.mark.parametrize("read", [mirrored, flipped, with_affine((3, 2, 1, 0), LPS)])
def test_a_fitted_map_lies_in_the_file_where_its_voxels_lay(read: Callable[..., Image], tmp_path: Path) -> None:
    image = stored(AFFINES["LAS"])
    layer = read(image)
    rows = tuple(Row(name, fixed=0.0) if name == "offset" else Row(name) for name in models["exponential_decay"].names)
    steps = run_any(freeze(Choices(layer, "voxels", "exponential_decay", rows, axis=time_of(layer))))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome = end.value
            break
    expected = 2 + 0.05 * np.arange(np.prod(SHAPE)).reshape(SHAPE)
    # also when the layer is gone
    for number, there in enumerate((layer, None)):
        written = write_outcome(outcome, str(tmp_path / f"{number}.nii.gz"), "nifti", there)
        tau = nibabel.load(next(path for path in written if path.name == f"{number}_tau.nii.gz"))
        np.testing.assert_allclose(tau.affine, image.affine, atol=1e-5)
        per_sample = tau.get_fdata() / tau.get_fdata()[0, 0, 0]
        np.testing.assert_allclose(per_sample, expected / 2, rtol=1e-4)


def refused(layer: Image, fitted: int | None = None) -> str:
    axis = time_of(layer) if fitted is None else fitted
    with pytest.raises(FitInputError, match="'a'") as caught:
        nifti_grid(layer.metadata, layer_transform(layer), layer.data.shape, axis, "a")
    return str(caught.value)


def test_what_cannot_be_told_is_refused() -> None:
    image = stored(AFFINES["LAS"])
    several, none = "agrees with it in several ways", "does not agree with it"
    # moved, or of another size, since it was read
    moved = with_scale((2, 1, 0, 3))(image)
    moved.translate = moved.translate + 1
    assert none in refused(moved)
    moved = with_affine((0, 1, 2, 3))(image)
    moved.scale = (2, 1, 1, 1)
    assert none in refused(moved)
    # all sizes are alike: z first or last?
    assert several in refused(only_sizes((2, 1, 0, 3))(stored(AFFINES["one size"])))
    # the file runs to the left, and a reader may have turned the data around
    sizes = only_sizes((2, 1, 0, 3))(image)
    sizes.metadata = {"header": image.header}
    assert none in refused(sizes)
    # about the middle of the world, and alike in all directions
    cube = nibabel.Nifti1Image(np.zeros((4, 4, 4, 6)), affine(np.diag([2, 2, 2]), (-3, -3, -3)))
    assert several in refused(with_affine((0, 1, 2, 3))(cube))
    # the reader's own affine is in another world than the file's
    other = with_scale((2, 1, 0, 3), header=image.header)(nibabel.Nifti1Image(image.dataobj, LPS @ image.affine))
    other.translate = other.translate + 7
    assert none in refused(other)


def test_a_fitted_axis_in_space_keeps_its_first_place() -> None:
    mm = AFFINES["LAS"]
    volume = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE), mm)
    ras = turned(volume, "LAI")
    layer = Image(
        np.asarray(ras.dataobj).T,
        scale=np.diag(ras.affine)[2::-1],
        translate=ras.affine[2::-1, 3],
        metadata={"header": volume.header},
    )
    found = nifti_grid(layer.metadata, layer_transform(layer), layer.data.shape, 0, "a")
    assert found is not None
    there = found.arrange(layer.data[0])
    np.testing.assert_array_equal(there, np.asarray(volume.dataobj)[:, :, -1:])
    np.testing.assert_allclose(found.affine @ (1, 2, 0, 1), mm @ (1, 2, SHAPE[2] - 1, 1))


def test_no_file_no_order() -> None:
    layer = Image(np.zeros((6, *SHAPE)), metadata={"affine": "none", "header": 3})
    assert nifti_grid(layer.metadata, layer_transform(layer), layer.data.shape, 0, "a") is None
