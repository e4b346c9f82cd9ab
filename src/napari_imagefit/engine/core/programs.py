"""Compiling: each stage once for each model, precision, device and shape, kept for the whole process."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..._lazy import LazyModule
from ..drive.problem import Options
from ..sums.normal_equations import Kernel
from . import cache
from .errors import FitEngineError, FitInputError

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")

Stage = Callable[..., Any]

# A session tries a few models on a few shapes; the programs that were not used for longest are dropped beyond this.
KEPT = 256
_programs: OrderedDict[Any, Any] = OrderedDict()
_compiling: dict[Any, threading.Event] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def computing(options: Options) -> Iterator[None]:
    """Precision and device for one step, and failures of JAX as errors that a Qt worker does not swallow.

    Never hold it across a ``yield``: the precision would leak into the thread.
    """
    device = find_device(options.device)
    with jax.enable_x64(options.dtype == "float64"), jax.default_device(device):
        try:
            yield
        except RuntimeError as error:
            raise FitEngineError(f"JAX failed on {device.platform}: {error}") from error


def find_device(name: str | None) -> Any:
    """JAX's device of that kind, or its first choice.

    Raises
    ------
    FitInputError
        If there is none of that kind.
    """
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        known = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise FitInputError(f"there is no device {name!r} here; choose one of: {known}") from None


class Runner:
    """Runs the stages of one model's fits, and compiles what it meets for the first time."""

    def __init__(self, kernel: Kernel, options: Options) -> None:
        self.kernel, self.options = kernel, options

    def __call__(self, stage: Stage, *args: Any) -> Any:
        """Call a stage; inside `computing` only."""
        return self._program(stage, args)(*args)

    def is_ready(self, stage: Stage, *args: Any) -> bool:
        """Whether the stage is compiled for arguments of these shapes."""
        with _lock:
            return self._key(stage, args) in _programs

    def program(self, stage: Stage, *args: Any) -> Callable[..., Any]:
        """A stage compiled for arguments of these shapes, arrays or `jax.ShapeDtypeStruct`; inside `computing` only."""
        compiled: Callable[..., Any] = self._program(stage, args)
        return compiled

    def shapes(self, stage: Stage, *args: Any) -> Any:
        """What a stage returns, as `jax.ShapeDtypeStruct`; compiling it then need not trace it again."""
        return _traceable(stage, self.kernel).eval_shape(*args)

    def _key(self, stage: Stage, args: tuple[Any, ...]) -> Any:
        leaves, tree = jax.tree.flatten(args)
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        return stage, self.kernel, self.options.dtype, self.options.device, tree, shapes

    def _program(self, stage: Stage, args: tuple[Any, ...]) -> Any:
        key = self._key(stage, args)
        while True:
            with _lock:
                if key in _programs:
                    _programs.move_to_end(key)
                    return _programs[key]
                other = _compiling.get(key)
                if other is None:
                    mine = _compiling[key] = threading.Event()
            if other is None:
                break
            # one thread compiles for all
            other.wait()
        try:
            program = self._make(stage, args, key)
            with _lock:
                _programs[key] = program
                while len(_programs) > KEPT:
                    _programs.popitem(last=False)
        finally:
            with _lock:
                del _compiling[key]
            mine.set()
        return program

    def _make(self, stage: Stage, args: tuple[Any, ...], key: Any) -> Any:
        """From the disk, or compiled."""
        kernel, device = self.kernel, find_device(self.options.device)
        file = cache.key_of(stage, kernel, (device.platform, device.device_kind, str(key[2:])))
        if file is not None and (found := cache.load(file)) is not None:
            return found
        program = _compile(_traceable(stage, kernel).lower(*args), device)
        if file is not None:
            cache.keep(file, program)
        return program


@functools.lru_cache(maxsize=32)
def _traceable(stage: Stage, kernel: Kernel) -> Any:
    """The same function for the same stage, by which JAX knows that it has traced it."""
    return jax.jit(lambda *a: stage(kernel, *a))


def _compile(lowered: Any, device: Any) -> Any:
    """Compile, on the CPU with XLA's older code generator, which takes half the time and makes programs as fast."""
    if device.platform == "cpu":
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # a version of XLA that has no such switch
            return lowered.compile(compiler_options={"xla_cpu_use_fusion_emitters": False})
    return lowered.compile()


def compiled_programs() -> int:
    """How many programs are kept; tests count with it what a call has compiled."""
    with _lock:
        return len(_programs)
