"""A result of which nothing has been computed yet."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...engine.core.status import Status
from ...engine.results.fit_result import FitResult, LayerTuple
from ..fitting.chunks import Argument
from ..fitting.records import unpack
from ..voxels.common_residual import CommonResidual
from .dask_sources import LazySource
from .dask_tasks import DeriveBlock, blockwise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class LazyFitResult(FitResult):
    """A `FitResult` of Dask arrays, of which nothing has been computed yet.

    All maps of a chunk come from one task, which fits it. Each call of Dask's ``compute`` runs the tasks anew: take
    several maps with one ``dask.compute(result.params, result.stderr)``, all of them with `compute`, or keep them in
    the cluster with `persist`.
    """

    source: LazySource = field(repr=False)
    records: Any = field(repr=False)  # one per fit, see `record_type`

    @property
    def reduced_chi2(self) -> Any:
        """`FitResult.reduced_chi2` as a Dask array."""
        return self._derived("reduced_chi2")

    @property
    def r2(self) -> Any:
        """`FitResult.r2` as a Dask array."""
        return self._derived("r2")

    @property
    def aicc(self) -> Any:
        """`FitResult.aicc` as a Dask array."""
        return self._derived("aicc")

    @property
    def bic(self) -> Any:
        """`FitResult.bic` as a Dask array."""
        return self._derived("bic")

    def _derived(self, name: str) -> Any:
        block = DeriveBlock(self.source.plan.bare(), name, self.known_sigma, self.criterion)
        axes = tuple(range(self.records.ndim))
        return blockwise(block, self.records.chunks, axes, [Argument(self.records, axes)], np.dtype(np.float64))

    def compute(self, **options: Any) -> FitResult:
        """Return the same with NumPy arrays; `options` go to Dask, such as ``scheduler``.

        `fitted` and `residual`, which are as large as the data, stay lazy.
        """
        import dask

        da: Any = dask
        begun = time.perf_counter()
        records, common = da.compute(self.records, self.source.common, **options)
        loaded = self._with(records, FitResult, seconds=time.perf_counter() - begun)
        if common is not None:
            loaded = replace(loaded, source=self.source.with_common(CommonResidual.joined(common.ravel())))

        def own(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: own(v) for name, v in value.items()}
            return np.ascontiguousarray(value).reshape(value.shape) if isinstance(value, np.ndarray) else value

        return replace(loaded, **{name: own(value) for name, value in vars(loaded).items()})

    def persist(self, **options: Any) -> LazyFitResult:
        """Return the same with everything being computed and kept where Dask keeps it."""
        import dask

        da: Any = dask
        records, common = da.persist(self.records, self.source.common, **options)
        kept = self._with(records, LazyFitResult, seconds=self.seconds, records=records)
        if common is not None:
            kept = replace(kept, source=self.source.with_common(common))
        return cast(LazyFitResult, kept)

    def _with(self, rows: Any, kind: type[FitResult], seconds: float, **more: Any) -> FitResult:
        return unpack(
            rows,
            self.model,
            self.source,
            known_sigma=self.known_sigma,
            criterion=self.criterion,
            seconds=seconds,
            device=self.device,
            kind=kind,
            **more,
        )

    def to_dataframe(self) -> pd.DataFrame:
        """`FitResult.to_dataframe` of everything, computed now."""
        return self.compute().to_dataframe()

    def to_layers(self) -> list[LayerTuple]:
        """`FitResult.to_layers` of everything: maps computed now, fitted and residual lazy."""
        return self.compute().to_layers()

    def counts(self) -> dict[Status, int]:
        """`FitResult.counts`, computed now."""
        return self.compute().counts()

    def summary(self) -> str:
        """`FitResult.summary`, computed now."""
        return self.compute().summary()
