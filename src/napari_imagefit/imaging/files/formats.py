"""The formats that results are written in: how their files end, and what they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..readers.optional_packages import need
from .localisation_columns import Style

Format = Literal["ome-tiff", "nifti", "zarr", "csv", "parquet"]


@dataclass(frozen=True)
class FileFormat:
    """Properties of a file format.

    Attributes
    ----------
    name : str
        As its users call it.
    holds : str
        What is in its files, for a person who chooses.
    suffixes : tuple of str
        How its files end; the first is given to those that have no name yet.
    of_maps : bool
        Whether it holds maps of voxels; otherwise a table of any fits.
    module : str
        What must be installed; empty if pandas is enough.
    """

    name: str
    holds: str
    suffixes: tuple[str, ...]
    of_maps: bool
    module: str = ""

    @property
    def title(self) -> str:
        """Name and content, for a list of formats."""
        return f"{self.name}: {self.holds}"

    def check(self) -> None:
        """Look whether what it needs is installed.

        Raises
        ------
        FitInputError
            If not; it names the command that installs it.
        """
        if self.module:
            need(self.module, f"writing {self.name}", instead="choose another format")


FORMATS: dict[Format, FileFormat] = {
    "ome-tiff": FileFormat(
        "OME-TIFF", "all maps in one file", (".ome.tif", ".ome.tiff", ".tif", ".tiff"), True, "tifffile"
    ),
    "nifti": FileFormat("NIfTI", "one file for each map", (".nii.gz", ".nii"), True, "nibabel"),
    "zarr": FileFormat("OME-Zarr", "all maps in one folder", (".ome.zarr", ".zarr"), True, "zarr"),
    "csv": FileFormat("CSV table", "a row for each fit", (".csv",), False),
    "parquet": FileFormat("Parquet table", "a row for each fit", (".parquet",), False, "pyarrow"),
}


@dataclass(frozen=True)
class SpotFormat:
    """One way to write spots as a table of localisations.

    Attributes
    ----------
    name, holds : str
        As in `FileFormat`.
    suffix : str
        How its files end.
    style : {"imagefit", "picasso", "thunderstorm"}
        Which columns it has.
    all_spots : bool
        Whether it holds every spot, with its reason, or only those that count.
    """

    name: str
    suffix: str
    style: Style
    all_spots: bool

    @property
    def holds(self) -> str:
        """Content, for a person who chooses."""
        return "every spot, with its reason" if self.all_spots else "the spots that count"

    @property
    def title(self) -> str:
        """Name and content, for a list of formats."""
        return f"{self.name}: {self.holds}"


SPOT_FORMATS = (
    SpotFormat("Localisations", ".spots.csv", "imagefit", True),
    SpotFormat("Localisations, Parquet", ".spots.parquet", "imagefit", True),
    SpotFormat("Picasso", "_locs.csv", "picasso", False),
    SpotFormat("ThunderSTORM", ".thunderstorm.csv", "thunderstorm", False),
)
