"""Settings of parameters that outlive the session: the last ones of each model, and those saved under a name.

They stand in one JSON file in the folder of napari's settings. The settings that napari keeps for plugins will not do:
they are single values, which a manifest lists beforehand.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...engine.models.model import Model
from .choices import Row

FILE = "napari-imagefit-parameters.json"
PRESETS_VERSION = 1
LAST, NAMED = "last", "presets"
FLAGS = ("fixed", "shared")
BOUNDS = ("lower", "upper")
LONGEST = 1000  # characters of an expression


class Presets:
    """Stored settings of each model; the file is read at every request, as others write to it, too.

    Parameters
    ----------
    path : Path or None
        None keeps it in memory alone, which is what napari does with its own settings where it may not write them.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: dict[str, Any] = {}
        self._warned = False

    def last(self, model: Model) -> tuple[Row, ...] | None:
        """Return how the model's parameters were set last; None if they never were."""
        return _rows(model, self._of(model.name).get(LAST))

    def keep_last(self, model: Model, rows: Iterable[Row]) -> None:
        """Keep how the model's parameters are set now."""
        stored = _stored(rows)
        if self._of(model.name).get(LAST, []) != stored:
            self._change(model.name, lambda kept: kept.update({LAST: stored}))

    def names(self, model: Model) -> list[str]:
        """Return the names of what was saved for a model, in alphabetical order."""
        return sorted(_dict(self._of(model.name).get(NAMED)), key=str.casefold)

    def rows(self, model: Model, name: str) -> tuple[Row, ...] | None:
        """Return what was saved under that name; None if nothing was."""
        return _rows(model, _dict(self._of(model.name).get(NAMED)).get(name))

    def save(self, model: Model, name: str, rows: Iterable[Row]) -> None:
        """Save settings under a name, replacing what was saved under it."""
        stored = _stored(rows)
        self._change(model.name, lambda kept: kept.update({NAMED: _dict(kept.get(NAMED)) | {name: stored}}))

    def delete(self, model: Model, name: str) -> None:
        """Delete what was saved under that name."""
        self._change(
            model.name,
            lambda kept: kept.update({NAMED: {k: v for k, v in _dict(kept.get(NAMED)).items() if k != name}}),
        )

    def _of(self, model: str) -> dict[str, Any]:
        return _dict(_dict(self._read().get("models")).get(model))

    def _change(self, model: str, change: Any) -> None:
        content = self._read()
        models = _dict(content.get("models"))
        kept = _dict(models.get(model))
        change(kept)
        models[model] = kept
        self._write({"version": PRESETS_VERSION, "models": models})

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return self._kept
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"), parse_int=float)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._warn(f"The saved settings of parameters cannot be read: {error}.")
            return self._kept
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and content.get("version") == PRESETS_VERSION:
            return content
        self._put_aside()
        return {}

    def _put_aside(self) -> None:
        assert self._path is not None
        aside = self._path.with_name(f"{self._path.name}.bak")
        try:
            os.replace(self._path, aside)
        except OSError as error:
            self._warn(f"The saved settings of parameters in {self._path} make no sense, nor can they go: {error}.")
            return
        self._warn(f"The saved settings of parameters make no sense and are not used; they are kept in {aside}.")

    def _write(self, content: dict[str, Any]) -> None:
        if self._path is None:
            self._kept = content
            return
        part = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self._path.parent, prefix=f"{self._path.name}.", suffix=".part")
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            os.replace(part, self._path)
        except OSError as error:
            if part is not None:
                Path(part).unlink(missing_ok=True)
            self._warn(f"The settings of parameters cannot be kept for the next session: {error}.")

    def _warn(self, sentence: str) -> None:
        """Show it once, by napari's own notifications."""
        if self._warned:
            return
        self._warned = True
        from napari.utils.notifications import show_warning

        show_warning(sentence)


def stored_presets() -> Presets:
    """Return the presets in the folder of napari's settings."""
    from napari.settings import get_settings

    path = get_settings().config_path
    return Presets(Path(path).expanduser().parent / FILE if isinstance(path, (str, Path)) else None)


def _stored(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return what is set, as JSON has it; a layer is nothing that another session would know."""
    made = []
    for row in rows:
        numbers = {"start": row.start, "lower": row.lower, "upper": row.upper}
        one: dict[str, Any] = {k: float(v) for k, v in numbers.items() if isinstance(v, (int, float))}
        if row.fixed and "start" in one:
            one["fixed"] = True
        one |= {"tied": row.tied} if row.tied else {}
        one |= {"shared": True} if row.shared else {}
        if one:
            made.append({"name": row.name, **one})
    return made


def _rows(model: Model, stored: Any) -> tuple[Row, ...] | None:
    """Return a row for each parameter of the model; what makes no sense is as if it were not there."""
    if not isinstance(stored, list):
        return None
    known = {one["name"]: one for one in stored if isinstance(one, dict) and isinstance(one.get("name"), str)}
    return tuple(_row(name, known.get(name, {})) for name in model.names)


def _row(name: str, one: dict[str, Any]) -> Row:
    start = one.get("start") if _is_number(one.get("start")) and math.isfinite(one["start"]) else None
    lower, upper = (one[end] if _is_number(one.get(end)) else None for end in BOUNDS)
    fixed, shared = (one.get(flag) is True for flag in FLAGS)
    tied = one.get("tied")
    return Row(
        name,
        start,
        lower,
        upper,
        fixed,
        tied if isinstance(tied, str) and len(tied) <= LONGEST else "",
        shared,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
