"""Errors of the input, and of the program itself."""

from __future__ import annotations


class FitInputError(ValueError):
    """Invalid input or environment of a fit; the message names the value and the remedy.

    See Also
    --------
    napari_imagefit.FitEngineError : what the caller did not choose.
    napari_imagefit.Status : how a fit ended that merely failed.

    Notes
    -----
    It is raised before anything is traced or computed. A fit that merely fails is not an exception
    but a :class:`~napari_imagefit.Status`.

    Examples
    --------
    >>> import napari_imagefit as nif
    >>> nif.fit_voxels([[1.0], [2.0], [3.0]], "linear", max_iterations=0)
    Traceback (most recent call last):
        ...
    napari_imagefit.engine.core.errors.FitInputError: max_iterations must be a positive integer, got 0; give 1 or more
    """


class FitInputTypeError(FitInputError, TypeError):
    """The same where SciPy raises a ``TypeError``, so that either can be caught."""


class FitEngineError(Exception):
    """The engine failed for a reason that the caller did not choose, such as a lack of memory.

    See Also
    --------
    napari_imagefit.FitInputError : what the caller can mend.

    Notes
    -----
    It is deliberately not a ``RuntimeError``: Qt workers swallow those, and JAX raises them.

    Examples
    --------
    >>> import napari_imagefit as nif
    >>> issubclass(nif.FitEngineError, (RuntimeError, ValueError))
    False
    """
