"""Conversion of what a caller gives to arrays of real numbers, or one sentence about why not."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import FitInputError

# The message for data that are tracers of JAX's jit, grad or vmap.
TRACED = (
    "has no values yet, because JAX is tracing what it belongs to (jit, grad, vmap); call the fit outside of that, or "
    "by jax.pure_callback"
)


def real_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return an array of real numbers in the type that they have; masked values become NaN.

    Raises
    ------
    FitInputError
        If it is empty, ragged, complex, or holds no numbers.
    """
    array = in_memory(values, what)
    if array.dtype.kind not in "biuf":
        raise FitInputError(f"{what} has type {array.dtype}, which is not one of real numbers; convert it to them")
    if array.size == 0:
        raise FitInputError(f"{what} is empty (shape {array.shape}); give at least one number")
    if isinstance(array, np.ma.MaskedArray):
        return np.ma.filled(array.astype(np.result_type(array.dtype, np.float32)), np.nan)
    return np.asarray(array)


def in_memory(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return an array of NumPy, of any type.

    Raises
    ------
    FitInputError
        If there is none, as of rows of different lengths, of tensors elsewhere, and of what JAX is tracing.
    """
    if type(values) in (np.ndarray, float, int):
        return np.asanyarray(values)
    try:
        with with_values(what), _transfers_allowed(values):
            return np.asanyarray(values)
    except FitInputError:
        raise
    except ValueError:
        raise FitInputError(f"{what} has rows of different lengths; give a regular array") from None
    except (RuntimeError, TypeError) as error:
        # tensors raise a clear error themselves
        raise FitInputError(f"{what} cannot be read as an array: {error} Give one in the computer's memory") from None


@contextlib.contextmanager
def with_values(what: str) -> Iterator[None]:
    """Refuse in a sentence what JAX is tracing.

    Raises
    ------
    FitInputError
    """
    try:
        yield
    except TypeError as error:
        refuse_traced(error, what)
        raise


def refuse_traced(error: TypeError, what: str) -> None:
    """Refuse in a sentence what JAX is tracing, if that is what the error is about.

    Raises
    ------
    FitInputError
    """
    errors = sys.modules.get("jax.errors")
    if errors is not None and isinstance(error, errors.JAXTypeError):
        raise FitInputError(f"{what} {TRACED}") from None


def _transfers_allowed(values: object) -> contextlib.AbstractContextManager[Any]:
    """Allow transfers of data on a device to here, whatever their owner has forbidden."""
    jax = sys.modules.get("jax")
    known = jax is not None and isinstance(values, getattr(jax, "Array", ()))
    return jax.transfer_guard("allow") if jax is not None and known else contextlib.nullcontext()


def float_array(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return the same as float64."""
    return real_array(values, what).astype(np.float64, copy=False)


def check_callable(value: object, name: str, how: str, count: int) -> None:
    """Refuse what cannot be called with so many arguments.

    Raises
    ------
    FitInputError
    """
    if not callable(value):
        raise FitInputError(f"{name} must be a function that is called as {how}, got {value!r}; give one, or none")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        # some that are written in C have none
        return
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        raise FitInputError(
            f"{name} must be a function that is called as {how}, got one with the arguments {signature}; change them"
        ) from None
