"""Tables in Markdown from the results, between two marks in `docs/performance.md`."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
Rows = list[dict[str, Any]]

TITLES = {
    "images": "Images: one rotated Gaussian, seven parameters",
    "voxels": "Voxels: exponential decays of 32 samples",
    "spots": "Spots: round Gaussians in windows of 11 × 11 pixels",
    "first_fit": "The first fit of a process",
    "clicks": "From the click to the layers",
}
UNITS = {"images": "pixels", "voxels": "voxels", "spots_lsq": "spots", "spots_mle": "spots"}
PARTS = {"spots_lsq": "Least squares", "spots_mle": "Poisson likelihood"}


def write_documents(results: Path, docs: Path) -> None:
    """Fill the part between the marks, and draw the plots."""
    page = docs / "performance.md"
    text = page.read_text()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    body = tables(results, docs / "images", "images/")
    page.write_text(f"{before}{BEGIN}\n{body}{END}{after}")
    print(f"wrote {page}")


def write_quick(results: Path) -> None:
    """The same, for looking at only."""
    (results / "tables.md").write_text(tables(results, results, ""))
    print(f"wrote {results / 'tables.md'}")


def tables(results: Path, pictures: Path, link: str) -> str:
    """All sections of all results; plots go to the folder of pictures."""
    from . import first_fit, plots

    parts = []
    files = sorted(results.glob("*.json"))
    for file in files:
        known = json.loads(file.read_text())
        for section, title in TITLES.items():
            if section not in known:
                continue
            entry = known[section]
            parts.append(f"### {title}{f' ({file.stem})' if len(files) > 1 else ''}")
            parts.append(described(entry))
            if section == "clicks":
                parts.append(_clicks(entry["clicks"]))
                continue
            if section == "first_fit":
                parts.append(first_fit.table(entry["first_fit"]))
                continue
            for part in UNITS:
                if part not in entry:
                    continue
                if part in PARTS:
                    parts.append(f"*{PARTS[part]}*")
                rows = entry[part]
                parts += [_images(rows), _memory(rows)] if part == "images" else [_many(rows, part)]
                parts.append(_missing(rows))
                picture = plots.draw(rows, part, UNITS[part], pictures / f"performance_{file.stem}_{part}.png")
                if picture:
                    parts.append(f"![Time of a call by size]({link}{picture.name})")
    return "\n\n".join(part for part in parts if part) + "\n"


def described(entry: dict[str, Any]) -> str:
    """The machine and its programs, and when."""
    m = entry["machine"]
    device = "no GPU" if m["device"]["platform"] == "cpu" else f"JAX on {m['device']['count']} × {m['device']['kind']}"
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    quick = " A quick run, which is for trying the suite and not for quoting." if entry["quick"] else ""
    return (
        f"Measured {entry['date']} on: {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, {device}; {m['system']}, "
        f"Python {m['python']}, {versions}. Load of the machine before: {m['load']}.{quick}"
    )


def today() -> str:
    """As the tables have it."""
    return date.today().isoformat()


def table_of(head: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in rows))


def _images(rows: Rows) -> str:
    """A column for each peer, a line for each size; another table for the first calls."""
    names, sizes = _names(rows), sorted({row["size"] for row in rows})
    at = {(row["size"], row["name"]): row for row in rows}
    reference = names[0]
    lines, firsts = [], []
    for size in sizes:
        base = at[size, reference]["median"]
        lines.append([number(size), *(_cell(at[size, name], base) for name in names)])
        firsts.append([number(size), *(seconds(at[size, name]["first"]) for name in names)])
    head = ["pixels", *names]
    return (
        f"Time of a fit · times that of `{reference}` · excess of the cost:\n\n{table_of(head, lines)}\n\n"
        f"The first fit of a size, with whatever is traced and compiled:\n\n{table_of(head, firsts)}"
    )


def _cell(row: dict[str, Any], base: float | None) -> str:
    if row["median"] is None:
        return row["reason"].split(":")[0] if row["reason"].startswith("missing") else row["reason"]
    ratio = "" if not base else f" · {ratio_of(row['median'], base)}"
    return f"{seconds(row['median'])}{ratio} · {excess(row['excess']['q99'])}"


def _memory(rows: Rows) -> str:
    largest = max(row["size"] for row in rows)
    image = 8 * round(largest**0.5) ** 2
    own = [row for row in rows if row["size"] == largest]
    if not any(row["peaks"] for row in own):
        return ""
    lines = []
    for row in own:
        peaks = [f"{peak / image:.1f}" for peak in row["peaks"]]
        later = max(peaks[1:], key=float) if peaks[1:] else "–"
        lines.append([row["name"], peaks[0] if peaks else row["reason"], later])
    return (
        f"Peak of the resident memory at {number(largest)} pixels, above what a fresh process held before the call, in "
        f"multiples of the image ({image / 2**20:.0f} MiB):\n\n"
        + table_of(["program", "first fit, compiling included", "later fits"], lines)
    )


def _many(rows: Rows, part: str) -> str:
    lines = []
    for size in sorted({row["size"] for row in rows}):
        own = [row for row in rows if row["size"] == size]
        base = own[0]["fits"] / own[0]["median"] if own[0]["median"] else None
        for row in own:
            if row["reason"].startswith("missing"):
                lines.append([number(size), row["name"], "missing", *[""] * 7])
            elif row["median"] is None:
                lines.append([number(size), row["name"], row["reason"], *[""] * 7])
            else:
                rate, e = row["fits"] / row["median"], row["excess"]
                lines.append(
                    [
                        number(size),
                        row["name"],
                        number(row["fits"]),
                        seconds(row["first"]),
                        seconds(row["median"]),
                        number(float(f"{rate:.3g}")),
                        ratio_of(base, rate) if base else "",
                        excess(e["median"]),
                        excess(e["q99"]),
                        f"{math.floor(1e4 * e['close']) / 100:g} %",
                    ]
                )
    head = [UNITS[part], "program", "of them fitted", "first call", "a call", "fits/s"]
    head += [f"`{own[0]['name']}` is faster by", "excess, median", "99 %", "within 1e-6"]
    return table_of(head, lines)


def _missing(rows: Rows) -> str:
    """Reasons and notes, once each."""
    said = []
    for name in _names(rows):
        own = [row for row in rows if row["name"] == name]
        reasons = list(dict.fromkeys(r["reason"] for r in own if r["reason"].startswith(("missing", "failed"))))
        note = [own[0]["note"]] if own[0]["note"] and not reasons else []
        if words := "; ".join(reasons + note):
            said.append(f"- {name}: {words}.")
    return "\n".join(said)


def _clicks(clicks: dict[str, Any]) -> str:
    if "reason" in clicks:
        return clicks["reason"]
    lines = [
        [
            "first process" if row["process"] == 0 else "second process",
            f"{row['region'][0]} × {row['region'][1]}",
            row["what"],
            seconds(row["seconds"]),
        ]
        for row in clicks["rows"]
    ]
    return table_of(["process", "region", "click", "click to layers"], lines)


def number(value: float) -> str:
    """With thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def seconds(value: float | None) -> str:
    """Three digits, in a unit that suits."""
    if value is None:
        return "–"
    if value < 0.9995:
        return f"{float(f'{1000 * value:.3g}'):g} ms"
    return f"{float(f'{value:.3g}'):g} s"


def ratio_of(value: float, base: float) -> str:
    """Two digits below ten, then none after the point."""
    ratio = value / base
    return f"{ratio:.2g} ×" if ratio < 10 else f"{number(float(f'{ratio:.3g}'))} ×"


def excess(value: float) -> str:
    """One digit; below 1e-10 it is what rounding makes of a sum, and 0."""
    if not math.isfinite(value):
        return "no answer"
    return "0" if value < 1e-10 else f"{value:.0e}".replace("e-0", "e-").replace("e+00", "").replace("e+0", "e+")
