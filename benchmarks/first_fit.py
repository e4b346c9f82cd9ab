"""The first fit of a process: this project beside JAXFit and SciPy, each fit in a fresh process, all in turn.

    python -m benchmarks.first_fit             # about 5 minutes on an idle machine
    python -m benchmarks.first_fit --quick     # three cases, once

Two times are taken, in processes of their own: of the call where JAX and the program are imported and JAX has compiled
something already, and from the start of a process to its answer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .first_cases import CASES, Case, Data, costs, make

PROGRAMS = ("imagefit", "jaxfit", "scipy")
WAYS = ("warm", "nothing")
QUICK = tuple(list(CASES)[i] for i in (0, 3, -1))
REPEATS, MINUTES = 3, 5.0
PATIENCE = 300.0
# of the number of programs that XLA compiles, and of what they take
COMPILED = "/jax/core/compile/backend_compile_duration"
# how far the cost of an answer may be above the best one
CLOSE = 1e-6


def measure_first_fits(
    names: tuple[str, ...] = tuple(CASES), repeats: int = REPEATS, minutes: float = MINUTES
) -> list[dict[str, Any]]:
    """One row for each case, with all single times; no further turn is begun that would not end within the minutes."""
    from .workers import ENVIRONMENT

    environment = {**os.environ, **ENVIRONMENT}
    rows: dict[str, dict[str, Any]] = {
        name: {"case": name, "model": CASES[name].name, "data": CASES[name].data, "beside": CASES[name].beside}
        for name in names
    }
    with tempfile.TemporaryDirectory(prefix="imagefit-bench-") as folder:
        held = {name: make(CASES[name], Path(folder)) for name in names}
        for number, name in enumerate(names):
            held[name].save(Path(folder) / f"{number}.npz")
        # the first process of all is thrown away: it also reads files that the system has not read before
        for program in PROGRAMS:
            _run(names[0], program, "nothing", Path(folder) / "0.npz", environment)
        best: dict[str, float] = {}
        begun = time.perf_counter()
        for turn in range(repeats):
            spent = time.perf_counter() - begun
            if turn and spent * (turn + 1) / turn > 60 * minutes:
                print(f"  {turn} turns of {repeats}, for lack of time", flush=True)
                break
            for number, name in enumerate(names):
                for program in PROGRAMS:
                    if not _takes(program, CASES[name]):
                        continue
                    for way in WAYS:
                        found = _run(name, program, way, Path(folder) / f"{number}.npz", environment)
                        _keep(rows[name], program, way, found)
                        if "answer" in found:
                            cost = float(np.mean(costs(CASES[name], held[name], found["answer"])))
                            rows[name].setdefault("costs", {})[program] = cost
                            best[name] = min(cost, best.get(name, np.inf))
                print(f"  turn {turn + 1}, {name}: {_said(rows[name])}", flush=True)
    for name, row in rows.items():
        row["far"] = [p for p, cost in row.get("costs", {}).items() if cost > best[name] * (1 + CLOSE)]
    return list(rows.values())


def _takes(program: str, case: Case) -> bool:
    """Whether the program is given the case: others than this one are looped, and JAXFit differentiates by JAX."""
    if program == "imagefit":
        return True
    if program == "jaxfit" and case.call == "curve_fit numpy":
        return False
    return not case.is_wide


def _keep(row: dict[str, Any], program: str, way: str, found: dict[str, Any]) -> None:
    own = row.setdefault(program, {"warm": [], "one": [], "nothing": [], "programs": 0, "compiling": [], "reason": ""})
    if "reason" in found:
        own["reason"] = found["reason"]
        return
    own[way].append(found["seconds"])
    if way == "warm":
        own["one"].append(found["one"])
        own["programs"] = found["programs"]
        own["compiling"].append(found["compiling"])


def _said(row: dict[str, Any]) -> str:
    said = []
    for program in PROGRAMS:
        if program in row:
            own = row[program]
            times = (f"{own[way][-1]:.2f} s" for way in WAYS if own[way])
            said.append(f"{program} {own['reason'] or ', '.join(times)}")
    return "; ".join(said)


def _run(name: str, program: str, way: str, data: Path, environment: dict[str, str]) -> dict[str, Any]:
    """One fresh process; what it says is read as soon as it says it."""
    command = [sys.executable, "-m", "benchmarks.first_fit", "--child", name, program, way, str(data)]
    errors = data.with_suffix(".errors")
    with errors.open("w") as to:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=to, text=True, env=environment)
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - begun
        output = process.stdout.read()
    patience.cancel()
    if process.returncode:
        killed = f"stopped after {PATIENCE:.0f} s" if process.returncode == -9 else "?"
        return {"reason": (errors.read_text().strip().splitlines() or [killed])[-1][:160]}
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    answer = Path(found.pop("path"))
    found["answer"] = np.load(answer)
    answer.unlink()
    return found if way == "warm" else {**found, "seconds": seconds}


def _child(name: str, program: str, way: str, path: Path) -> None:
    """Fit, and say so; then how long it took, and where the answer is."""
    case = CASES[name]
    compiled: list[float] = []
    if way == "warm" and program != "scipy":
        import jax

        jax.block_until_ready(jax.jit(lambda a: a + 1)(np.ones(8, np.float32)))
        jax.monitoring.register_event_duration_secs_listener(
            lambda event, seconds, **_: compiled.append(seconds) if event == COMPILED else None
        )
    fit = {"imagefit": _imagefit, "jaxfit": _jaxfit, "scipy": _scipy}[program](case, Data.load(path))
    begun = time.perf_counter()
    one, answer = fit()
    ended = time.perf_counter()
    print("answered", flush=True)
    target = path.with_name(f"{program}-{way}.npy")
    np.save(target, answer)
    said = {"seconds": ended - begun, "one": (one or ended) - begun, "path": str(target)}
    print(json.dumps({**said, "programs": len(compiled) - _refusals(), "compiling": sum(compiled)}), flush=True)


def _refusals() -> int:
    """Programs that were begun with a compiler option that this version does not know, and begun again without."""
    programs = sys.modules.get("napari_imagefit.engine.core.programs")
    return int(bool(programs and programs._refused))


def _imagefit(case: Case, held: Data) -> Any:
    """As a user calls it, without starts except for `curve_fit`; whatever is imported lazily counts."""
    import napari_imagefit as nif

    def sorted_out(result: Any) -> Any:
        return None, np.stack([np.ravel(result.params[name]) for name in result.model.names], axis=1)

    if case.call.startswith("curve_fit"):
        curve_fit, function = nif.curve_fit, _function(case)
        return lambda: (None, curve_fit(function, held.coords[0], held.data[0], p0=held.start[0])[0][None])
    if case.call == "fit_voxels":
        fit_voxels, stack = nif.fit_voxels, np.ascontiguousarray(held.data.T)
        return lambda: sorted_out(fit_voxels(stack, case.name, x=held.coords[0]))
    if case.call == "fit_spots":
        from .peers.imagefit import Spots
        from .problems import WINDOW, Key, Problem

        peer, n = Spots(), len(held.data)
        windows = held.data.reshape(n, WINDOW, WINDOW)
        peer.load(Problem(Key("spots_lsq", n), windows, held.start.T, held.start.T))
        _ = nif.fit_spots
        return lambda: (None, peer.answer(peer.fit()).T)
    fit_image = nif.fit_image
    side = round(held.data.shape[1] ** 0.5)
    image = held.data[0].reshape(side, side)
    model: Any = case.name
    if model not in nif.models:
        model = nif.Model.from_expression(case.name, ["y", "x"])
    return lambda: sorted_out(fit_image(image, model))


def _function(case: Case) -> Any:
    """The case's formula as a `curve_fit` takes it, written with the array module that it names."""
    if case.call == "curve_fit numpy":
        return lambda t, *p: case.formula(np, (t,), *p)
    import jax.numpy as jnp

    return lambda t, *p: case.formula(jnp, (t,), *p)


def _jaxfit(case: Case, held: Data) -> Any:
    """One fit after the other, from starts that are given."""
    import jax.numpy as jnp

    from .peers.jaxfit_peer import Image

    peer = Image()
    if reason := peer.missing():
        raise SystemExit(reason)
    peer.prepare()
    function = lambda x, *p: case.formula(jnp, x if len(held.coords) > 1 else (x,), *p)  # noqa: E731
    options = {"method": "trf", "ftol": 1e-8, "xtol": 1e-8, "gtol": 1e-8}
    return _looped(held, lambda *args, p0: peer.fitter.curve_fit(function, *args, p0=p0, **options)[0])


def _scipy(case: Case, held: Data) -> Any:
    """One fit after the other, from starts that are given, by the method that SciPy chooses."""
    from scipy.optimize import curve_fit

    function = lambda x, *p: case.formula(np, x if len(held.coords) > 1 else (x,), *p)  # noqa: E731
    return _looped(held, lambda *args, p0: curve_fit(function, *args, p0=p0)[0])


def _looped(held: Data, fit: Any) -> Any:
    coords = held.coords if len(held.coords) > 1 else held.coords[0]

    def every() -> Any:
        answers, one = [], None
        for data, start in zip(held.data, held.start, strict=True):
            answers.append(np.asarray(fit(coords, data, p0=start), dtype=float))
            one = one or time.perf_counter()
        return one, np.stack(answers)

    return every


def table(rows: list[dict[str, Any]]) -> str:
    """All cases, with ratios of medians."""
    from .report import number, ratio_of, seconds, table_of

    first = {row["case"]: middle(row.get("jaxfit", {}).get("one")) for row in rows}
    head = ["model", "data", "first call", "from nothing", "programs", "compiling"]
    head += ["JAXFit, first of them", "all of them", "from nothing", "SciPy", "from nothing"]
    head += ["times JAXFit's first fit", "times SciPy's"]
    lines, missing = [], []
    for row in rows:
        own, jaxfit, scipy = (row.get(program, {}) for program in PROGRAMS)
        warm, theirs = middle(own.get("warm")), first.get(row["beside"] or row["case"])
        everyone = [own, jaxfit, scipy]
        missing += [f"{p}: {part['reason']}" for p, part in zip(PROGRAMS, everyone, strict=True) if part.get("reason")]
        lines.append(
            [
                f"`{row['model']}`" if " of " not in row["model"] else row["model"],
                row["data"],
                seconds(warm),
                seconds(middle(own.get("nothing"))),
                number(own.get("programs", 0)),
                seconds(middle(own.get("compiling"))),
                *(seconds(middle(jaxfit.get(what))) for what in ("one", "warm", "nothing")),
                *(seconds(middle(scipy.get(what))) for what in ("warm", "nothing")),
                ratio_of(warm, theirs) if warm and theirs else "–",
                ratio_of(warm, middle(scipy.get("warm"))) if warm and middle(scipy.get("warm")) else "–",
            ]
        )
    notes = [f"- {reason}." for reason in dict.fromkeys(missing)]
    notes += [f"- {row['case']}: the cost of {', '.join(row['far'])} is above the best." for row in rows if row["far"]]
    said = (
        "*First call*: JAX has compiled one tiny operation, and the program is imported, before the clock starts. "
        "*From nothing*: from the start of a process to its answer. *Programs*: what XLA compiles in the first call, "
        "*compiling* how long that takes, summed up over threads side by side. This project guesses its starts, the "
        "others are given some near the truth and fit one after the other; where there are too many for that, the "
        "ratio is to the first of the few. Medians of processes that took turns."
    )
    return f"{said}\n\n{table_of(head, lines)}" + ("\n\n" + "\n".join(notes) if notes else "")


def middle(values: list[float] | None) -> float | None:
    """The median, if there is any."""
    return median(values) if values else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_fit", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=REPEATS, help="turns of all programs; medians are shown")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="beyond which no further turn is begun")
    parser.add_argument("--quick", action="store_true", help="three cases, once: for trying, not for quoting")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        name, program, way, path = asked.child
        _child(name, program, way, Path(path))
        # threads of JAX have nothing more to say
        sys.stdout.flush()
        os._exit(0)
    from . import machine, report

    begun = time.perf_counter()
    where = machine.describe()
    names, repeats = (QUICK, 1) if asked.quick else (tuple(CASES), asked.repeats)
    rows = measure_first_fits(names, repeats, asked.minutes)
    print(f"\n{report.described({'machine': where, 'date': report.today(), 'quick': asked.quick})}\n\n{table(rows)}\n")
    print(f"{(time.perf_counter() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
