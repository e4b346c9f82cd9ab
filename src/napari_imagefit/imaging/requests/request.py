"""The request of a verb: its arguments but for the data, frozen and checked once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from ...engine.core.progress import drain
from ...engine.models.model import Model
from ...engine.results.fit_result import FitResult
from ..fitting.argument_checks import checked_progress, checked_stop
from ..fitting.run import Run, Settings, plain
from .json_fields import model_of, refuse_unknown, settings_of
from .python_script import Script, call

FIELDS = {"verb", "model", "init", "bounds", "fixed", "tied", "shared", "camera", "options", "sigma"}


@dataclass(frozen=True, eq=False)
class Request(ABC):
    """Request of a verb: a `VoxelRequest`, an `ImageRequest` or a `SpotRequest`.

    It holds the arguments of the verb but for the data, checked and frozen. The same request is run on an array (`run`,
    `steps`), planned for a Dask array (`chunked.dispatch`), written into a recipe and sent to a worker, so that all
    give the same numbers.
    """

    verb: ClassVar[str]
    own_fields: ClassVar[set[str]]  # of the JSON, beside those that all verbs have

    model: Model
    settings: Settings = field(default_factory=Settings, kw_only=True)

    @abstractmethod
    def steps(self, data: Any, should_stop: Callable[[], bool] | None = None, /) -> Run:
        """Fit data in memory; the generator yields `Progress` and returns the `FitResult`."""

    def run(
        self,
        data: Any,
        progress: Callable[[int, int], object] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> FitResult:
        """Fit data in memory; the arguments are those of the verb. Of Dask arrays see `chunked.dispatch.fit`.

        Raises
        ------
        FitInputError
            For input that cannot work, before anything is computed.
        """
        progress, should_stop = checked_progress(progress), checked_stop(should_stop)
        return drain(self.steps(data, should_stop), progress)

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON, without what stands beside it in a recipe: points, and what is fitted of the data.

        Of a model made of Python code it holds the name, and of σ as an array that it was one.
        """
        return {"model": self.model.name, "verb": self.verb, **plain(self._own()), **self.settings.recipe()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Check a call in JSON, as `to_json` gives it.

        Beyond that ``model`` may be ``{"expression": "a*exp(-t/tau)", "coords": ["t"]}`` with ``bounds`` and ``init``,
        ``sigma`` a number, and ``coords`` a list of values along each axis of the plane.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        refuse_unknown(said, FIELDS | cls.own_fields, "the recipe")
        settings = settings_of(said)
        return cls(model_of(said.get("model")), settings=settings, **cls._own_of(said))

    def arguments(self, script: Script) -> dict[str, str]:
        """Return the arguments as Python, of which long arrays become lines of the script.

        Raises
        ------
        FitInputError
            If an array is too long for a script.
        """
        return {**self._own_in(script), **script.settings(self.settings, self.model)}

    def to_python(self, script: Script, arguments: Mapping[str, str] | None = None) -> str:
        """Return the call as Python, for lines in which ``data`` are the data; the model goes by its name.

        Parameters
        ----------
        script : Script
            It takes what has to stand before the call.
        arguments : dict of str, optional
            In the place of `arguments`, where these were asked for already.

        Raises
        ------
        FitInputError
            If an array is too long for a script.
        """
        named = dict(self.arguments(script) if arguments is None else arguments)
        points = [named.pop("points")] if "points" in named else []
        return call(f"nif.{self.verb}", ", ".join(["data", *points, repr(self.model.name)]), named)

    @abstractmethod
    def _own(self) -> dict[str, Any]:
        """Return the arguments that only this verb has, for `to_json`."""

    @classmethod
    @abstractmethod
    def _own_of(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return these arguments from JSON, for `from_json`."""

    @abstractmethod
    def _own_in(self, script: Script) -> dict[str, str]:
        """Return these arguments as Python, for `arguments`; points and masks included."""
