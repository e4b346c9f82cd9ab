"""All that is to be checked on a CUDA GPU, in ten minutes: parity with the CPU, throughput, and how sums are formed.

    python -m benchmarks.gpu             # Markdown tables, one after the other; without a GPU a sentence
    python -m benchmarks.gpu --cpu       # tries the script at small sizes where there is none

With ``--cpu`` the other device is the CPU again, with data that differ in their last digit: as far as a GPU's rounding.
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from . import machine, peers, report
from .gpu_parity import TOLERANCES, parity
from .gpu_plan import CPU, GPU, LOOKS, PRECISIONS, Job, Plan
from .passes import Pass, best_of, placed
from .problems import ECHOES, Key, problem


def throughput(plan: Plan, folder: Path) -> Iterator[Job]:
    """One row for each kind of fit, precision and device."""
    named = {"images": "imagefit:FitImage", "voxels": "imagefit:Voxels", "spots_lsq": "imagefit:Spots"}

    def take(section: str, size: int, dtype: str, device: str) -> list[str]:
        peer: Any = peers.make(named[section])
        peer.dtype, peer.device = dtype, device
        peer.load(problem(Key(section, size), folder))
        times: list[float] = []
        while len(times) < 6 and (len(times) < 2 or sum(times) < 15):
            begun = time.perf_counter()
            peer.fit()
            times.append(time.perf_counter() - begun)
        each = median(times[1:])
        return [report.seconds(times[0]), report.seconds(each), report.number(float(f"{size / each:.3g}"))]

    for section, size in plan.throughput.items():
        for dtype in PRECISIONS:
            for device in dict.fromkeys(plan.devices):
                what = [f"{report.number(size)} {report.UNITS[section]}", dtype, device]
                yield what, partial(take, section, size, dtype, device)


def _by_products(model: Any, samples: Any, params: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sums of `normal_sums` as products of matrices, in full precision: the Jacobian is held in memory."""
    import jax.numpy as jnp

    from napari_imagefit.engine.functions.evaluation import jacobian

    value, slopes = jacobian(model.function, model.jacobian, samples.coords, params, across=True)
    used = samples.usable()
    columns = jnp.stack([jnp.where(used, column, 0) for column in (value - samples.data, *slopes)])
    found = jnp.einsum("ibm,jbm->ijb", columns, columns, precision="highest")
    n = len(params)
    lower = [found[1 + i, 1 + j] for i in range(n) for j in range(i + 1)]
    return 0.5 * found[0, 0], *(found[0, 1 + i] for i in range(n)), *lower


def forms(plan: Plan) -> Iterator[Job]:
    """One row for each pass and precision: both ways to form the sums."""
    for one in plan.passes:
        for dtype in PRECISIONS:
            yield [str(one), dtype], partial(_both_forms, plan, one, dtype)


def _both_forms(plan: Plan, one: Pass, dtype: Any) -> list[str]:
    import jax

    import napari_imagefit as nif
    from napari_imagefit.engine.core.device import computing, find_device
    from napari_imagefit.engine.core.options import Criterion, Options
    from napari_imagefit.engine.core.programs import compile_lowered
    from napari_imagefit.engine.sums.normal_equations import normal_sums

    model, device = nif.models[one.model], find_device(plan.devices[0])
    cells, found, seconds = [], [], []
    with computing(Options(dtype=dtype, device=plan.devices[0])):
        arguments = placed(one, dtype, device)
        for function in (partial(normal_sums, model, Criterion()), partial(_by_products, model)):
            begun = time.perf_counter()
            lowered = jax.jit(function).lower(*arguments)
            program = compile_lowered(lowered, device.platform, "reassociated")
            compiling = time.perf_counter() - begun
            seconds.append(best_of(partial(program, *arguments), plan.repeats))
            cells += [report.seconds(seconds[-1]), report.seconds(compiling)]
            found.append(np.stack([np.asarray(v, np.float64) for v in program(*arguments)]))
    # in units of the norms of which each is a scalar product
    n = len(one.truth)
    norms = np.sqrt([2 * found[0][0], *(found[0][n + (i + 1) * (i + 2) // 2] for i in range(n))])
    lower = [norms[1 + i] * norms[1 + j] for i in range(n) for j in range(i + 1)]
    scale = np.stack([norms[0] ** 2, *(norms[0] * norms[1 + i] for i in range(n)), *lower])
    apart = float(np.max(np.abs(found[1] - found[0]) / scale))
    return [*cells, report.ratio_of(seconds[1], seconds[0]), f"{apart:.0e}"]


def looks(plan: Plan, folder: Path) -> Iterator[Job]:
    """How long one block takes until few of its fits still run, by steps between two looks at the statuses."""
    for dtype in PRECISIONS:
        yield [dtype], partial(_with_looks, plan, folder, dtype)


def _with_looks(plan: Plan, folder: Path, dtype: Any) -> list[str]:
    """The same as `wide` does with one block, by its own parts."""
    import napari_imagefit as nif
    from napari_imagefit.engine.core.device import computing
    from napari_imagefit.engine.core.fits import Fits
    from napari_imagefit.engine.core.options import Options
    from napari_imagefit.engine.core.status import Status
    from napari_imagefit.engine.drive import wide
    from napari_imagefit.engine.drive.problem import Problem

    options = Options(dtype=dtype, device=plan.devices[0])
    model = nif.models["exponential_decay"]
    data = np.array(problem(Key("voxels", plan.throughput["voxels"]), folder).data, dtype=float)
    given = Problem.build(model, (ECHOES,), data, options=options)
    work = wide._Work(given, Fits.blank(len(model.names), given.n_fits, Status.STOPPED))
    for future in work.prepare():
        future.result()
    programs, count = work.programs(work.width), min(work.width, given.n_fits)
    samples, first = work.begin(slice(0, count), work.width)
    begun_at = work.rows_of(first)

    def run(every: int) -> tuple[float, int]:
        block, rows = first, begun_at
        begun, steps = time.perf_counter(), 0
        with computing(programs.double):
            while True:
                for _ in range(every):
                    block, rows = work.advance(programs, samples, block, rows)
                    steps += 1
                if (
                    np.count_nonzero(np.asarray(block.state.status)[:count] >= wide.RUNNING)
                    <= count // wide.FEW_RUNNING
                ):
                    return time.perf_counter() - begun, steps

    cells = [f"{count} × {ECHOES.size}"]
    for every in LOOKS:
        times = [run(every) for _ in range(plan.repeats // 2 + 2)]
        cells.append(f"{report.seconds(min(seconds for seconds, _ in times[1:]))} ({times[0][1]} steps)")
    return cells


def _print(title: str, head: list[str], jobs: Iterator[Job], in_time: Callable[[], bool]) -> list[list[str]]:
    """A table in Markdown, line by line: a run that is cut short, or in which something fails, keeps what it has."""
    print(f"\n### {title}\n\n{report.table_of(head, [])}", flush=True)
    rows = []
    for labels, find in jobs:
        cells = ["not run, for lack of time"]
        if in_time():
            try:
                cells = find()
            except Exception as error:  # noqa: BLE001 -- the other rows are wanted all the same
                traceback.print_exc()
                sentence = (str(error).strip().splitlines() or [""])[0]
                cells = [f"**failed**: {type(error).__name__}: {sentence}"[:160]]
        rows.append(labels + cells + [""] * (len(head) - len(labels) - len(cells)))
        print("| " + " | ".join(rows[-1]) + " |", flush=True)
    return rows


def has_gpu() -> bool:
    """Whether JAX finds one."""
    import jax

    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="try the script where there is no GPU, at small sizes")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which nothing more is begun")
    asked = parser.parse_args()
    begun = time.perf_counter()
    # in a process of its own, before this one takes the GPU's memory
    where = machine.describe()
    if not asked.cpu and not has_gpu():
        print("JAX finds no CUDA GPU here, so that nothing is checked; --cpu tries the script on the CPU.")
        return
    plan = CPU if asked.cpu else GPU

    def in_time() -> bool:
        return time.perf_counter() - begun < 60 * asked.minutes

    print(report.described({"machine": where, "date": report.today(), "quick": asked.cpu}))
    here, there = ("CPU, nudged", "CPU") if plan.nudged else ("GPU", "CPU")
    with TemporaryDirectory(prefix="imagefit-bench-") as name:
        folder = Path(name)
        head = ["fits", "precision", "answers of both", "largest difference in standard errors", "beyond the tolerance"]
        head += ["statuses or bounds that differ", "parity", "programs", f"first call, {here}", f"{there}"]
        checked = _print(f"Parity with the CPU: {TOLERANCES}", head, parity(plan, folder), in_time)
        head = ["fits", "precision", "device", "first call", "a call", "fits or pixels per second"]
        _print("Throughput", head, throughput(plan, folder), in_time)
        head = ["pass", "precision", "one reduction", "compiling", "products of matrices", "compiling"]
        _print("Two ways to form the sums", [*head, "products/reduction", "apart"], forms(plan), in_time)
        head = ["precision", "a block", *(f"a look every {every}" for every in LOOKS)]
        _print("Steps between two looks of the host", head, looks(plan, folder), in_time)
    failed = [f"{row[0]} in {row[1]}" for row in checked if "**" in " ".join(row)]
    print(f"\nParity does not hold for: {', '.join(failed)}." if failed else "\nParity holds everywhere.")
    print(f"{(time.perf_counter() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
