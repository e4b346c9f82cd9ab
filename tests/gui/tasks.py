"""What people come for, done with mouse and keys from an empty napari: clicks and seconds counted, each step pictured.

    sh tools/with-display.sh .venv/bin/python tests/gui/tasks.py FOLDER [--task atoms] [--size 1280x720] [--data FOLDER]

Each task runs at each size in a window of its own. `FOLDER/tasks.md` has a row for each thing that people came for,
beside what became of it when new users tried once, and `FOLDER/steps.md` a row for each step with its pictures. A step
that cannot be done is told with its reason, and the others go on. Where the data folder has no real data, the plugin's
samples stand for them. A click on a file, on a menu of napari or on a layer's own controls counts one. Seconds are
those of processors, of all threads: other programs have no part in them.

The tasks stand in `task_list`. The words that they are made of stand in `dock_driver`, which alone knows where
something is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from task_list import TASKS, Row, Step, a_person  # beside this script

SIZES = ("1280x720", "1600x960")
Done = dict[str, dict[str, list[Row]]]  # by size, by task


def table_of(done: Done) -> str:
    """Return a table in Markdown: what people came for, then and now."""
    sizes = [size for size in SIZES if size in done]
    titles = [f"now, {size.replace('x', ' × ')} | clicks + keys | s" for size in sizes]
    lines = [
        f"| task | then | clicks | s | {' | '.join(titles)} |",
        "|---|---|---|---|" + "---|---|---|" * len(sizes),
    ]
    for task in TASKS:
        rows = {size: done[size][task] for size in sizes if task in done[size]}
        for number, row in enumerate(next(iter(rows.values()), [])):
            now = [_now(rows[size][number]) if size in rows else " | | " for size in sizes]
            before = f"{row.before} | {row.clicks_before} | {row.seconds_before}"
            lines.append(f"| {row.title} | {before} | {' | '.join(now)} |")
    return "\n".join(lines) + "\n"


def _now(row: Row) -> str:
    clicks, keys = row.hands
    return f"{_in_a_cell(row.result)} | {clicks}{f' + {keys}' if keys else ''} | {row.seconds}"


def steps_of(done: Done) -> str:
    """Return a table in Markdown of all steps, with their pictures."""
    lines = ["| size | task | row | step | result | clicks | keys | s | |", "|---|---|---|---|---|---|---|---|---|"]
    for size, tasks in done.items():
        for task, rows in tasks.items():
            for row in rows:
                lines += [f"| {size} | {task} | {row.title} | {_step(step)} |" for step in row.steps]
    return "\n".join(lines) + "\n"


def _step(step: Step) -> str:
    pictures = " ".join(f"[{i + 1}]({name})" for i, name in enumerate(step.pictures))
    told = f"{step.what} | {_in_a_cell(step.outcome)}"
    return f"{told} | {step.clicks} | {step.keys} | {step.seconds:.1f} | {pictures}"


def _in_a_cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def read_done(file: Path) -> Done:
    """Return what was done before into the same folder."""
    if not file.exists():
        return {}
    stored = json.loads(file.read_text(encoding="utf-8"))
    return {
        size: {
            task: [Row(**{**row, "steps": [Step(**step) for step in row["steps"]]}) for row in rows]
            for task, rows in tasks.items()
        }
        for size, tasks in stored.items()
    }


def write_done(folder: Path, done: Done) -> None:
    """Write all that was done, and the tables of it."""
    stored = {s: {t: [asdict(row) for row in rows] for t, rows in tasks.items()} for s, tasks in done.items()}
    for name, text in (
        ("done.json", json.dumps(stored, indent=1, ensure_ascii=False)),
        ("tasks.md", table_of(done)),
        ("steps.md", steps_of(done)),
    ):
        (folder / name).write_text(text, encoding="utf-8")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what was done before stays there, but for the same tasks and sizes")
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ["NAPARI_CONFIG"] = ""  # settings of nobody: everything is as it is at first
    done = read_done(options.folder / "done.json")
    failed = False
    for size in options.size or SIZES:
        for task in options.task or TASKS:
            with a_person(task, size, options.folder, options.data) as person:
                TASKS[task](person)
            done.setdefault(size, {})[task] = person.rows
            failed |= any(step.failed for row in person.rows for step in row.steps)
            write_done(options.folder, done)
    sys.stdout.write(table_of(done))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
