"""Write the list of statuses and flags, docs/flags.md, from their definitions.

python docs/make_flags.py
"""

from __future__ import annotations

from pathlib import Path

from napari_imagefit.engine.core.status import Flag, Status
from napari_imagefit.imaging.fitting.status_labels import ATTEMPTS, CONVERGED_LABEL, REASONS, REMARKS

PAGE = Path(__file__).parent / "flags.md"
HEAD = """# How a fit ended, and what to remark on it

Written by `docs/make_flags.py` from `Status`, `Flag`, `REASONS`, `REMARKS` and `ATTEMPTS`; change them there.

Every fit of a result has one status, in `result.status`, and any number of flags, in `result.flags`.
"""
STATUS = """
## Statuses

Above 0 the fit converged, and has an answer. At 0 it has one, but not the best. Below 0 its parameters and errors are
NaN, except that a fit which was stopped keeps what it had got to. `Status(code).message` is the sentence here.

"""
FLAGS = """
## Flags

A flag is a remark on a fit; 0 means that there is none to make. Several add up: 33 is 32 + 1.
`[flag.message for flag in nif.Flag(33)]` lists them, and `result.flags & nif.Flag.AT_LOWER` finds the fits that have
one.

| bit | flag | |
|---|---|---|
"""
LAYERS = """
## Layers and files

A layer *status* of voxels, and one of regions but for its remarks, has a label for each voxel or pixel: the first of
these that holds, from the top.

| label | meaning |
|---|---|
"""
ATTEMPT = """
A layer *attempt*, and the map of that name in files, says from which of several starts a voxel was fitted.

| label | attempt |
|---|---|
"""
SIGHT = """
## What residuals can tell

Three flags test the residuals of a fit, each by itself: none depends on the other fits of a call. Measured on simulated
data (`tests/engine/test_flags.py` and `test_misfits.py`), as shares of fits that are flagged:

- `STRUCTURED_RESIDUAL`: by chance at most 0.1 % (Gaussian noise 0.01 to 0.07 %; tails of Student's t with 3 degrees of
  freedom, or 1, at most 0.05 %; counts of 0.5 and more on average 0.1 %). What it sees is told below.
- `SMALL_CHI2`: by chance 0.01 %. Of noise that was said to be 2 times too large it sees 10 % with 16 samples, 77 % with
  32 and all with 121; 3 times, 69 % with 16 and all with 32; 10 times, 86 % with 8.
- `UNEVEN_NOISE`: by chance at most 0.01 %, with tails of Student's t with 3 degrees of freedom 0.2 %. Of counts fitted
  by least squares it sees 55 % in windows of 11×11 pixels around spots, and 99 % in regions of 21×21 and more; of
  decays from 1 010 counts to 17, 1 % with 16 samples, 21 % with 32, 67 % with 64 and 97 % with 128.
- `SATURATED`, which tests samples: none of 24 000 fits of data near a limit that were not cut off. It sees three
  samples at a limit, or two at the largest number of the data's type.

How well a wrong model is told from noise depends on the samples: the parameters take up the smooth part of what is
wrong, and what is left must agree from sample to sample. One exponential (three parameters) fitted to two, sampled
evenly or evenly in the logarithm of time:

| samples | residuals 12 to 16 × the noise | 2.5 to 3 × the noise | 1.5 to 1.9 × the noise |
|---|---|---|---|
| 11 | 0 / 0 | 0 / 0 | 0 / 1 % |
| 14 | 0 / all | 0 / 44 % | 0 / 8 % |
| 17 | 0 / all | 1 % / 91 % | 1 % / 25 % |
| 20 | 2 % / all | 8 % / 98 % | 3 % / 38 % |
| 24 | all / all | 28 % / all | 5 % / 55 % |
| 32 | all / all | 86 % / all | 13 % / 79 % |
| 64 | all / all | all / all | 64 % / 99 % |

So few samples cannot tell one curve from another. A map of them can: where curves have fewer than 32 samples, `summary`
says whether their residuals have a pattern in common (at least 30 curves; a mean residual more than
5 standard errors off 0, and more than a tenth of all squares in such means). It is a remark on the map, never on a fit.

A second source of σ = 0.7 pixels or more in a region of 51×51 pixels is flagged in 99 % and more from 50 × the noise
on, one of σ = 0.6 in 98 % and one of σ = 0.5 in 2 of 3 at 100 × the noise: little of it lies beside its brightest
pixel, and one hot pixel is no structure.
"""


def page() -> str:
    """The whole file."""
    ordered = sorted(Status, key=lambda status: (status <= 0, abs(status)))
    statuses = [row(status.value, status.name, status.message) for status in ordered]
    flags = [row(flag.value, flag.name, flag.message) for flag in Flag]
    table = "| code | status | |\n|---|---|---|\n"
    labels = {0: Status.NOT_FITTED.message}
    labels |= {label: status.message for status, (label, _) in REASONS.items()}
    labels |= {remark.label: remark.words for remark in REMARKS}
    labels |= {CONVERGED_LABEL: "converged, with nothing to remark"}
    layers = [f"| {label} | {cell(words)} |\n" for label, words in labels.items()]
    attempts = [f"| {number} | {attempt.report} |\n" for number, attempt in ATTEMPTS.items()]
    sections = [section(flag) for flag in Flag]
    return "".join(
        [HEAD, STATUS, table, *statuses, FLAGS, *flags, *sections, LAYERS, *layers, ATTEMPT, *attempts, SIGHT]
    )


def row(value: int, name: str | None, message: str) -> str:
    """One line of a table."""
    return f"| {value} | `{name}` | {cell(message)} |\n".replace("| -", "| −")


def cell(text: str) -> str:
    """A bar would end the cell."""
    return text.replace("|", r"\|")


def section(flag: Flag) -> str:
    """What a flag means, and what to do about it."""
    return f"\n### `{flag.name}`\n\n{flag.message[0].upper()}{flag.message[1:]}. {flag.explanation}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
