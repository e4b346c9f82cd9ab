"""``make bench``: measure, write JSON, then the tables and plots of the documentation."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import machine, report
from .clicks import measure_clicks
from .first_fit import QUICK as QUICK_FIRST_FITS
from .first_fit import measure_first_fits
from .measure import Plan, measure

HERE = Path(__file__).parent
SECTIONS = ("images", "voxels", "spots", "first_fit", "clicks")

SIZES = [round(size) for size in np.geomspace(1e4, 8e6, 15)]
FULL = {
    "images": Plan(SIZES, budget=8, limit=75),
    "voxels": Plan([65_536, 1_000_000, 10_000_000], budget=10, limit=120),
    "spots": Plan([1000, 10_000, 100_000, 1_000_000], budget=8, limit=60),
}
QUICK = {
    "images": Plan([10_000, 50_000], repeats=2, budget=1, limit=20),
    "voxels": Plan([4096, 16_384], repeats=2, budget=1, limit=20),
    # Numba compiles these for most of a minute
    "spots": Plan([1000, 4000], 2, 1, 20, leave_out=("picasso_peer:LqLoose", "picasso_peer:Mle")),
}


def main() -> None:
    """Parse what is asked for, and do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure this part only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes, into benchmarks/results/quick; no documents")
    parser.add_argument("--sizes", type=int, nargs="+", help="with --only: these numbers of pixels, voxels or spots")
    parser.add_argument("--name", help="of the result file; otherwise that of the device")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the documents from what is there")
    asked = parser.parse_args()

    if asked.sizes and len(asked.only or ()) != 1:
        parser.error("--sizes are those of one part; say which with --only")

    results = HERE / "results" / "quick" if asked.quick else HERE / "results"
    results.mkdir(parents=True, exist_ok=True)
    if not asked.report:
        plans = QUICK if asked.quick else FULL
        if asked.sizes:
            plans = {name: replace(plan, sizes=sorted(asked.sizes)) for name, plan in plans.items()}
        _run(asked.only or list(SECTIONS), plans, results, asked.name, quick=asked.quick)
    if asked.quick:
        report.write_quick(results)
    else:
        report.write_documents(results, HERE.parent / "docs")


def _run(sections: list[str], plans: dict[str, Plan], results: Path, name: str | None, *, quick: bool) -> None:
    where = machine.describe()
    device: Any = where["device"]
    name = name or ("cpu" if device["platform"] == "cpu" else "-".join(str(device["kind"]).lower().split()))
    path = results / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    print(f"{where['cpu']}, {where['cores']} cores, JAX on {device['kind']}; load {where['load']}", flush=True)
    for section in sections:
        begun = time.perf_counter()
        print(f"{section}:", flush=True)
        entry: dict[str, Any] = {"machine": machine.describe(), "date": report.today(), "quick": quick}

        def keep(entry: dict[str, Any] = entry, begun: float = begun, section: str = section) -> None:
            # after each size: an interrupted run keeps what it has
            entry["minutes"] = round((time.perf_counter() - begun) / 60, 1)
            known[section] = entry
            path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")

        if section == "clicks":
            entry["clicks"] = measure_clicks()
        elif section == "first_fit":
            entry["first_fit"] = measure_first_fits(QUICK_FIRST_FITS, 1) if quick else measure_first_fits()
        else:
            with tempfile.TemporaryDirectory(prefix="imagefit-bench-") as folder:
                for part in ("spots_lsq", "spots_mle") if section == "spots" else (section,):
                    entry[part] = []
                    for rows in measure(part, plans[section], Path(folder)):
                        entry[part] += [row.as_json() for row in rows]
                        keep()
        keep()
        print(f"{section}: {entry['minutes']} min, in {path}", flush=True)


if __name__ == "__main__":
    main()
