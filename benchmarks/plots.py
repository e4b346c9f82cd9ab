"""Time against size, on logarithmic axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(rows: list[dict[str, Any]], part: str, unit: str, path: Path) -> Path | None:
    """One line for each peer that was measured; None where there is nothing, or nothing to draw with."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    drawn = False
    for number, name in enumerate(dict.fromkeys(row["name"] for row in rows)):
        own = [row for row in rows if row["name"] == name and row["median"]]
        if not own:
            continue
        drawn = True
        # decays and spots: what a fit costs, since slow peers are given a part of them
        time = [row["median"] if part == "images" else 1e6 * row["median"] / row["fits"] for row in own]
        ours = name.startswith(("fit_", "curve_fit"))
        style = "o-" if ours else "s--"
        width = 2.0 if ours else 1.2
        axes.plot([row["size"] for row in own], time, style, lw=width, ms=4, label=name, color=f"C{number % 10}")
    if drawn:
        axes.set(xscale="log", yscale="log", xlabel=unit)
        axes.set_ylabel("seconds per fit" if part == "images" else "microseconds per fit")
        axes.grid(alpha=0.3, which="both", lw=0.5)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(path, dpi=110)
    plt.close(figure)
    return path if drawn else None
