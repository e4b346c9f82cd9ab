"""What is compiled for a wide batch: four small programs of the model, and three that serve every model.

    samples ─ start → level, starts ─ begin → task, state, trial
              samples, trial ─ sums → ─ step → state, trial      until few fits still run
              samples, state ─ ends → ─ finish → covariances

Start, sums and ends are compiled for each model; begin, step and finish for each number of free parameters. A call of a
program costs a microsecond for each array: what goes from one to the next has its rows in one array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.device import computing, find_device
from ..core.options import Options, Tolerances
from ..core.programs import Arithmetic, find, obtain, request
from ..core.types import Array
from ..linalg.algebra import JaxAlgebra
from ..linalg.normal_matrix import Dense
from ..models.evaluation import evaluate
from ..models.starts import is_traceable
from ..solver.covariance import Inverse, invert
from ..solver.trust_region import RUNNING, Expansion, State, Task, Trial, begin, judge, propose, stay
from ..sums.normal_equations import normal_sums
from ..sums.residual_sums import Residuals, residual_sums
from ..sums.samples import Samples
from .evaluators import free_sums
from .level import Level
from .problem import Problem
from .starting import find_starts

if TYPE_CHECKING:
    from concurrent.futures import Future

    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

Tree = Any

# How many fits are started at a time on a CPU: products of matrices depend on how many there are.
STARTED = 512
# Numbers of single precision that the shortest vectors in use hold twice.
VECTOR = 8


def rows_of(problem: Problem) -> int:
    """The samples of a fit, padded to what a vector holds: more would cost every fit of a batch."""
    if problem.padded:
        return problem.padded_length
    return -(-problem.n_samples // VECTOR) * VECTOR


def tree_map(function: Callable[..., Any], *trees: Tree) -> Tree:
    """Apply a function to the arrays of trees of tuples; None stays."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, tuple):
        parts = [tree_map(function, *some) for some in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return function(*trees)


def leaves(tree: Tree) -> list[Any]:
    """The rows of a tree, in order."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


class Layout(NamedTuple):
    """Trees whose rows are those of one array ``(rows, B)``."""

    task: Task
    state: State
    trial: Trial

    @classmethod
    def of(cls, n: int, bounded: bool, norms: bool) -> Layout:
        """Of so many free parameters."""
        rows = (0,) * n
        bounds = rows if bounded else ()
        expansion = Expansion(0, rows, Dense.of((0,) * (n * (n + 1) // 2), n))
        return cls(
            Task(bounds, bounds, 0, 0, rows if norms else None),
            State(rows, expansion, rows, 0, 0, 0, 0, 0, 0),
            Trial(rows, rows, rows, 0, 0, 0),
        )

    def take(self, what: str, packed: Array) -> Any:
        """The tree whose rows are those of an array."""
        tree = tree_of(getattr(self, what), packed)
        if what != "state":
            return tree
        return tree._replace(status=tree.status.astype(np.int64), iterations=tree.iterations.astype(np.int64))


def tree_of(like: Tree, packed: Array) -> Tree:
    """A tree whose rows are those of an array."""
    rows = iter(packed)
    return tree_map(lambda _: next(rows), like)


def pack(tree: Tree) -> Array:
    """The rows of a tree under JAX as one array, in double precision."""
    return jnp.stack([row.astype(jnp.float64) for row in leaves(tree)])


class Program(NamedTuple):
    """A program that is wanted, with all that `programs.request` asks for."""

    key: tuple[Any, ...]
    function: Callable[..., Any]
    shapes: tuple[Any, ...]
    options: Options
    arithmetic: Arithmetic

    def request(self) -> Future[Any]:
        """Have it compiled in the background."""
        with computing(self.options):
            return request(*self)

    def obtain(self) -> Callable[..., Any]:
        """Compiled if need be."""
        with computing(self.options):
            return find(self.key) or obtain(*self)


class Programs:
    """The programs of a problem for blocks of one width."""

    def __init__(self, problem: Problem, width: int) -> None:
        self.problem, self.width = problem, width
        self.model, self.options = problem.model, problem.options
        self.double = Options(dtype="float64", device=self.options.device)
        self.dtype = np.dtype(self.options.dtype)
        self.rows, self.n = rows_of(problem), len(problem.free)
        on_cpu = find_device(self.options.device).platform == "cpu"
        self.started = min(width, STARTED) if on_cpu else width
        self.chosen = free_sums(len(self.model.names), problem.free)
        self.layout = Layout.of(self.n, problem.is_bounded, problem.norms is not None)
        self.algebra = JaxAlgebra(self.options.dtype)

    def wanted(self) -> dict[str, Program]:
        """All of them by name, that first which takes longest to compile."""
        found = {"step": self._step(), "finish": self._finish(), "start": self._start(), "ends": self._ends()}
        found |= {"sums": self._sums(self.options), "begin": self._begin()}
        return found | ({"plain": self._sums(self._linear)} if self._is_robust else {})

    # compiled when first called

    @cached_property
    def start(self) -> Callable[..., Any]:
        return self._start().obtain()

    @cached_property
    def begin(self) -> Callable[..., Any]:
        return self._begin().obtain()

    @cached_property
    def sums(self) -> Callable[..., Any]:
        return self._sums(self.options).obtain()

    @cached_property
    def step(self) -> Callable[..., Any]:
        return self._step().obtain()

    @cached_property
    def ends(self) -> Callable[..., Any]:
        return self._ends().obtain()

    @cached_property
    def plain(self) -> Callable[..., Any] | None:
        """Sums without a robust loss, if there is one."""
        return self._sums(self._linear).obtain() if self._is_robust else None

    @cached_property
    def finish(self) -> Callable[..., Any]:
        return self._finish().obtain()

    @property
    def _is_robust(self) -> bool:
        return self.options.criterion.is_robust

    @property
    def _linear(self) -> Options:
        return replace(self.options, loss="linear")

    def _samples(self, shape: Callable[[int], tuple[int, int]]) -> Samples:
        """The shapes of samples; `shape` is that of so many fits."""
        problem, width = self.problem, self.width

        def array(each: bool) -> Any:
            return jax.ShapeDtypeStruct(shape(width if each else 1), self.dtype)

        def optional(given: NDArray[Any] | None) -> Any:
            return None if given is None else array(given.shape[1] > 1)

        return Samples(
            tuple(array(c.ndim == 2) for c in problem.coords),
            array(True),
            optional(problem.weights),
            optional(problem.shift),
            jax.ShapeDtypeStruct((), self.dtype) if self._is_robust else None,
        )

    def _row(self, double: bool = True, width: int | None = None) -> Any:
        return jax.ShapeDtypeStruct((width or self.width,), np.float64 if double else self.dtype)

    def _table(self, rows: int, double: bool = True, width: int | None = None) -> Any:
        return jax.ShapeDtypeStruct((rows, width or self.width), np.float64 if double else self.dtype)

    def _params(self) -> tuple[Any, ...]:
        return (self._row(double=False),) * len(self.model.names)

    def _of_model(self, what: str, options: Options, function: Any, shapes: tuple[Any, ...]) -> Program:
        arithmetic: Arithmetic = "plain" if what == "start" else "reassociated"
        if not self.model.reassociate:
            arithmetic = "as written"
        own = jax.tree.structure(shapes), tuple((s.shape, s.dtype) for s in jax.tree.leaves(shapes))
        key = ("wide", what, self.model.key, options.criterion, arithmetic, options.dtype, options.device, own)
        return Program(key, function, shapes, options, arithmetic)

    def _of_any(self, what: str, function: Any, shapes: tuple[Any, ...], *own: Any) -> Program:
        problem, options = self.problem, self.options
        key = ("wide", what, self.n, problem.is_bounded, problem.norms is None, options.dtype, options.device)
        return Program((*key, self.width, *own), function, shapes, self.double, "loops")

    def _start(self) -> Program:
        """From samples ``(m, B)`` to their level and starts, ``(8 + n_params, B)``."""
        model, options = self.model, self.options
        rows, count = self.rows, self.started

        def function(samples: Samples, lengths: Array, *limits: Array) -> Array:
            level = Level.of(options.criterion, samples, lengths)
            shape = (len(model.names), samples.data.shape[1])
            start, lower, upper = (jnp.broadcast_to(a, shape) for a in limits)
            # others are found on the host
            if is_traceable(model):
                start = find_starts(model, options, samples, level, start, lower, upper)
            return jnp.concatenate([jnp.stack([row.astype(start.dtype) for row in level]), start])

        samples = self._samples(lambda fits: (rows, min(fits, count)))
        limits = (self._table(len(model.names), double=False, width=count),) * 3
        return self._of_model("start", options, function, (samples, self._row(False, count), *limits))

    def _begin(self) -> Program:
        """From levels, starts and bounds of the free parameters to task, state and trial."""
        algebra, criterion, eps, n = self.algebra, self.options.criterion, self.options.eps, self.n

        def one(level: Array, start: Array, lower: Array, upper: Array, norms: Array) -> Any:
            level, size = Level(*level), tuple(norms) if self.problem.norms is not None else None
            bounds = (tuple(lower), tuple(upper)) if self.problem.is_bounded else ((), ())
            task = Task(*bounds, level.rounding(criterion, eps), level.size(criterion, eps), size)
            zero = 0.0 * level.n_used
            blank = Expansion(zero, (zero,) * n, Dense.of((zero,) * (n * (n + 1) // 2), n))
            held = algebra.total([zero, *(algebra.where(h, 1.0, 0.0) for h in task.held)])
            state = begin(algebra, task, tuple(start), blank, level.n_used >= n - held)
            return task, state, stay(state)

        def function(*tables: Array) -> tuple[Array, ...]:
            rows = (tuple(table[i] for i in range(len(table))) for table in tables)
            found = algebra.at_once(one, *rows)
            return tuple(map(pack, found))

        table = self._table(n)
        shapes = (self._table(len(Level._fields)), table, table, table, table)
        # the level of a robust loss, or of counts, is another
        return self._of_any("begin", function, shapes, criterion.noise, criterion.is_robust)

    def _sums(self, options: Options) -> Program:
        """From samples ``(B, m)`` and parameters to cost, gradient and JᵀJ by the free ones."""
        model = self.model

        def function(samples: Samples, params: tuple[Array, ...]) -> tuple[Array, ...]:
            return normal_sums(model, options.criterion, samples, params)

        return self._of_model("sums", options, function, (self._samples(self._across), self._params()))

    def _across(self, fits: int) -> tuple[int, int]:
        return fits, self.rows

    def _step(self) -> Program:
        """Judge a trial by its sums, and propose the next.

        To state and trial, whether a fit still runs, and the free parameters of the trial in the model's precision.
        """
        algebra, layout, n = self.algebra, self.layout, self.n

        def look(
            task: Task, tolerances: Tolerances, limit: Array, state: State, trial: Trial, sums: tuple[Array, ...]
        ) -> State:
            wide = [s.astype(jnp.float64) for s in sums]
            there = Expansion(wide[0], tuple(wide[1 : n + 1]), Dense.of(tuple(wide[n + 1 :]), n))
            if task.lower:
                there = there.without(algebra, task.held)
            return judge(algebra, task, tolerances, limit, state, trial, there)

        def function(task: Array, tolerances: Tolerances, limit: Array, state: Array, trial: Array, sums: Any) -> Any:
            own = layout.take("task", task)
            before, tried = layout.take("state", state), layout.take("trial", trial)
            after = algebra.at_once(look, own, tolerances, limit, before, tried, sums)
            following = propose(algebra, own, after)
            x = tuple(v.astype(algebra.dtype) for v in following.x)
            return pack(after), pack(following), after.status >= RUNNING, x

        task, state, trial = (self._table(len(leaves(tree))) for tree in layout)
        number = jax.ShapeDtypeStruct((), np.float64)
        tolerances: Any = Tolerances._make((number,) * len(Tolerances._fields))
        limit = jax.ShapeDtypeStruct((), np.int64)
        sums = (self._row(double=False),) * len(self.chosen)
        return self._of_any("step", function, (task, tolerances, limit, state, trial, sums))

    def _ends(self) -> Program:
        """From samples and parameters to the sums over residuals, ``(8, B)``."""
        model, criterion = self.model, self.options.criterion

        def function(samples: Samples, params: tuple[Array, ...]) -> Array:
            value = evaluate(model.function, samples.coords, params, across=True)
            return jnp.stack(residual_sums(criterion, samples, value, axis=1))

        return self._of_model("ends", self.options, function, (self._samples(self._across), self._params()))

    def _finish(self) -> Program:
        """From ends to `invert`: numbers, then what holds or does not."""
        algebra, layout, criterion, n = self.algebra, self.layout, self.options.criterion, self.n

        def one(task: Task, state: State, sums: Any, used: Array, plain: Any) -> tuple[Any, Any]:
            matrix = None if plain is None else Dense.of(plain, n)
            found, _ = invert(algebra, criterion, task, state, Residuals(*sums), used, matrix)
            return found[:2], found[2:]

        def function(task: Array, state: Array, sums: Array, used: Array, plain: Any) -> tuple[Array, Array]:
            rows = tuple(row.astype(jnp.float64) for row in sums)
            elements = None if plain is None else tuple(row.astype(jnp.float64) for row in plain)
            found = algebra.at_once(one, layout.take("task", task), layout.take("state", state), rows, used, elements)
            return jnp.stack(leaves(found[0])), jnp.stack(leaves(found[1]))

        task, state, _ = (self._table(len(leaves(tree))) for tree in layout)
        sums = self._table(len(Residuals._fields), double=False)
        plain = (self._row(double=False),) * (n * (n + 1) // 2) if self._is_robust else None
        shapes = (task, state, sums, self._row(), plain)
        return self._of_any("finish", function, shapes, criterion.noise, criterion.is_robust)

    def inverse(self, numbers: NDArray[Any], holds: NDArray[Any]) -> Inverse:
        """What `finish` has found."""
        blank = Inverse.blank(self.n)
        return Inverse(*tree_of(tuple(blank[:2]), numbers), *tree_of(tuple(blank[2:]), holds))
