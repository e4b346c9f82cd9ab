"""A stack on disk that need not fit into memory: peak memory and voxels per second, beside the rate in memory.

    python benchmarks/out_of_core.py             # 4 GB, about as long as the fits take in memory
    python benchmarks/out_of_core.py --gigabytes 0.3

Writes exponential decays (float32, 32 samples) to Zarr chunk by chunk, fits them with ``napari-imagefit run`` in a
process of its own, and a part of them from memory in another. Both are told without what a first fit takes to compile.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

SAMPLES, SIDE = 32, 512
T = np.arange(SAMPLES, dtype=float)
MOST_IN_MEMORY = 1 << 18  # voxels


def write_stack(path: Path, gigabytes: float) -> int:
    """Write the stack and return its number of voxels; no more than a chunk is ever held."""
    rows = max(1, round(gigabytes * 1e9 / (4 * SAMPLES * SIDE * SIDE)))
    shape, chunks = (SAMPLES, rows * SIDE, SIDE), (SAMPLES, SIDE // 4, SIDE)
    stack = zarr.create_array(str(path), shape=shape, chunks=chunks, dtype="f4")
    rng = np.random.default_rng(0)
    for first in range(0, shape[1], chunks[1]):
        one = (chunks[1], SIDE)
        decays = rng.uniform(1, 3, one) * np.exp(-T[:, None, None] / rng.uniform(4, 12, one)) + 0.3
        stack[:, first : first + chunks[1]] = decays + rng.normal(0, 0.03, decays.shape)
    return rows * SIDE * SIDE


def from_disk(folder: Path) -> dict[str, float]:
    """Fit the stack as the command does."""
    from napari_imagefit.command_line.run import run_recipe

    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps({"verb": "fit_voxels", "model": "exponential_decay", "x": T.tolist()}))
    warm_up(folder)
    begun = time.perf_counter()
    run_recipe(recipe, str(folder / "stack.zarr"), folder / "results", None, None, lambda text: print(text, flush=True))
    return {"seconds": time.perf_counter() - begun, "voxels": float(np.prod(stack_of(folder).shape[1:]))}


def from_memory(folder: Path) -> dict[str, float]:
    """Fit a part that is loaded first."""
    import napari_imagefit as nif

    warm_up(folder)
    stack = stack_of(folder)[:, : MOST_IN_MEMORY // SIDE]
    begun = time.perf_counter()
    result = nif.fit_voxels(stack, "exponential_decay", x=T)
    return {"seconds": time.perf_counter() - begun, "voxels": float(result.status.size)}


def stack_of(folder: Path) -> zarr.Array:
    """The stack on disk."""
    return zarr.open_array(str(folder / "stack.zarr"), mode="r")


def warm_up(folder: Path) -> None:
    """Compile."""
    import napari_imagefit as nif

    nif.fit_voxels(stack_of(folder)[:, :64], "exponential_decay", x=T)


WAYS = {"from disk": from_disk, "from memory": from_memory}


def measure(way: str, folder: Path) -> dict[str, float]:
    """Run one way in a fresh process."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Write, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.way:
        found = WAYS[said.way](said.folder)
        # in KiB on Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(found | {"peak": peak}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voxels = write_stack(folder / "stack.zarr", said.gigabytes)
        print(f"{voxels} voxels × {SAMPLES}, {4 * SAMPLES * voxels / 1e9:.2f} GB of float32")
        rates = {}
        for way in WAYS:
            found = measure(way, folder)
            rates[way] = found["voxels"] / found["seconds"]
            print(f"{way}: {rates[way]:,.0f} voxels/s, peak resident memory {found['peak'] / 1e9:.2f} GB")
        print(f"from disk at {rates['from disk'] / rates['from memory']:.0%} of the rate in memory")


if __name__ == "__main__":
    main()
