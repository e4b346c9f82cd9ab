"""The oldest JAX that this project allows beside the newest that there is: one environment for each, in turn.

    sh tools/bench.sh versions           # makes .venv-bench, with the newest, if it is missing; then about 4 minutes

Compared are the pass over the samples of three models on one core, and the throughput of wide batches on all cores. The
environment of the oldest is made where it is missing, inside `.venv-bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .passes import CLOUD, DECAY, SPOT, Pass, best_of, placed

ROOT = Path(__file__).parents[1]
OLDEST = Path(".venv-bench") / "oldest-jax"
# what engine and imaging need besides JAX, which brings NumPy and SciPy
NEEDED = ("lazy-loader",)
TURNS, REPEATS = 3, 15
PRECISIONS = ("float64", "float32")
WIDE = {"voxels": ("imagefit:Voxels", 65_536), "spots_lsq": ("imagefit:Spots", 10_000)}
NAMES = {"voxels": "65 536 voxels × 32, `exponential_decay`", "spots_lsq": "10 000 spots 11 × 11, `gaussian_2d`"}
PASSES = (
    Pass("exponential_decay", 8192, (32,), DECAY),
    Pass("gaussian_2d", 2048, (11, 11), SPOT),
    Pass("gaussian_2d_rotated", 1, (256, 256), CLOUD),
)


def oldest_python() -> str:
    """The interpreter of an environment with the oldest JAX, made if it is missing."""
    folder = ROOT / OLDEST
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    found = re.search(r'"jax>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert found is not None
    wanted = f"jax=={found[1]}"
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Making {OLDEST} with {wanted}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, wanted, *NEEDED], check=True)
        stamp.write_text(wanted)
    return str(python)


def passes(quick: bool) -> dict[str, Any]:
    """Seconds of one pass and of its compiling by model and precision, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import napari_imagefit as nif
    from napari_imagefit.engine.core.device import computing
    from napari_imagefit.engine.core.options import Options
    from napari_imagefit.engine.sums.normal_equations import NormalSums

    found = {}
    for dtype in PRECISIONS:
        options = Options(dtype=dtype, device="cpu")
        for number, one in enumerate(PASSES):
            with computing(options):
                samples, params = placed(one, dtype)
                begun = time.perf_counter()
                program = NormalSums(nif.models[one.model], options, stacked=False).program(samples, params)
                compiling = time.perf_counter() - begun
                seconds = best_of(lambda p=program, s=samples, q=params: p(s, q), 3 if quick else REPEATS)
            found[f"{number} {dtype}"] = {"compiling": compiling, "seconds": seconds}
    return found


def batches(quick: bool) -> dict[str, Any]:
    """The first call, what of it is compiling, and the calls after it, by batch and precision, on all cores."""
    import tempfile

    import jax

    from . import peers
    from .problems import Key, problem

    compiled: list[float] = []
    jax.block_until_ready(jax.jit(lambda a: a + 1)(np.ones(8, np.float32)))
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(seconds) if event.endswith("backend_compile_duration") else None
    )
    found = {}
    with tempfile.TemporaryDirectory(prefix="imagefit-bench-") as folder:
        for section, (which, size) in WIDE.items():
            data = problem(Key(section, 1000 if quick else size), Path(folder))
            for dtype in PRECISIONS:
                peer: Any = peers.make(which)
                peer.dtype = dtype
                peer.load(data)
                compiled.clear()
                times = []
                for _ in range(2 if quick else 6):
                    begun = time.perf_counter()
                    peer.fit()
                    times.append(time.perf_counter() - begun)
                found[f"{section} {dtype}"] = {
                    "first": times[0],
                    "compiling": sum(compiled),
                    "programs": len(compiled),
                    "seconds": median(times[1:]),
                    "fits": data.n_fits,
                }
    return found


PARTS = {"passes": passes, "batches": batches}


def _child(part: str, quick: bool) -> None:
    import jax
    import jaxlib

    found = PARTS[part](quick)
    from napari_imagefit.engine.core import programs

    said = {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "found": found}
    print(json.dumps({**said, "refused": sorted(programs._refused)}), flush=True)
    os._exit(0)


def _run(python: str, part: str, quick: bool) -> dict[str, Any]:
    from .workers import ENVIRONMENT

    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT / "src")}
    command = [python, "-m", "benchmarks.versions", "--child", part, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{part} in {python} failed:\n{done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def measure(turns: int, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """By part what each version said: of the times of all turns the median, of passes the least."""
    pythons = {"oldest": oldest_python(), "newest": sys.executable}
    said: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for turn in range(turns):
        for part in PARTS:
            for which, python in pythons.items():
                said.setdefault((part, which), []).append(_run(python, part, quick))
                print(f"  turn {turn + 1}, {part}, jax {said[part, which][-1]['jax']}: done", flush=True)
    return {part: [_together(said[part, which], part) for which in pythons] for part in PARTS}


def _together(several: list[dict[str, Any]], part: str) -> dict[str, Any]:
    def one(name: str, what: str) -> float:
        values = [said["found"][name][what] for said in several]
        return min(values) if part == "passes" and what == "seconds" else median(values)

    first = several[0]
    found = {name: {what: one(name, what) for what in own} for name, own in first["found"].items()}
    return {**first, "found": found, "refused": sorted({o for said in several for o in said["refused"]})}


def tables(measured: dict[str, list[dict[str, Any]]]) -> str:
    """Both versions side by side, and the options that they refuse."""
    from .report import number, ratio_of, seconds, table_of

    old, new = measured["passes"]
    names = [f"jax {version['jax']}" for version in (old, new)]
    lines = []
    for name in old["found"]:
        number_of, dtype = name.split()
        one = PASSES[int(number_of)]
        per = 1e9 / (one.fits if one.fits > 1 else float(np.prod(one.shape)))
        own = [version["found"][name] for version in (old, new)]
        lines.append(
            [
                str(one),
                dtype,
                *(f"{per * o['seconds']:.3g} ns" for o in own),
                ratio_of(own[1]["seconds"], own[0]["seconds"]),
                *(seconds(o["compiling"]) for o in own),
            ]
        )
    head = ["pass over the samples", "precision", *names, "newest/oldest", *(f"compiling, {n}" for n in names)]
    parts = [f"On one core, for a fit, or a pixel of an image:\n\n{table_of(head, lines)}"]
    old, new = measured["batches"]
    lines = []
    for name in old["found"]:
        section, dtype = name.split()
        own = [version["found"][name] for version in (old, new)]
        rates = [o["fits"] / o["seconds"] for o in own]
        lines.append(
            [
                NAMES[section] if own[0]["fits"] == WIDE[section][1] else f"{own[0]['fits']:.0f} {section}",
                dtype,
                *(number(float(f"{rate:.3g}")) for rate in rates),
                ratio_of(rates[1], rates[0]),
                *(f"{seconds(o['first'])} ({o['programs']:.0f}: {seconds(o['compiling'])})" for o in own),
            ]
        )
    head = ["batch", "precision", *(f"fits/s, {n}" for n in names), "newest/oldest"]
    head += [f"first call, {n} (programs: compiling)" for n in names]
    parts.append(f"On all cores; *compiling* is summed up over threads side by side:\n\n{table_of(head, lines)}")
    said = []
    for number_of, version in enumerate((old, new)):
        refused = sorted({*version["refused"], *measured["passes"][number_of]["refused"]})
        options = ", ".join(f"`{option}`" for option in refused) or "none"
        said.append(f"- {names[number_of]} refuses of the compiler options: {options}.")
    return "\n\n".join([*parts, "\n".join(said)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--quick", action="store_true", help="small batches, one turn: for trying, not for quoting")
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(asked.child, asked.quick)
    from . import machine, report

    begun = time.perf_counter()
    where = machine.describe()
    found = measure(1 if asked.quick else asked.turns, asked.quick)
    print(
        f"\n{report.described({'machine': where, 'date': report.today(), 'quick': asked.quick})}\n\n{tables(found)}\n"
    )
    print(f"{(time.perf_counter() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
