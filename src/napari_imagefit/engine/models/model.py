"""Models: named parameters and a function of coordinates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import FitInputError
from ..core.types import Function, Guess, GuessWithin
from ..functions.expression import read_formula
from ..functions.parameter import Parameter, Roles, is_constant
from .turns import Turn

if TYPE_CHECKING:
    from .bound_model import BoundModel
    from .handles import Handle

PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, eq=False)
class Model:
    """A function of coordinates and named parameters, with a way to guess starts from data.

    Parameters
    ----------
    name : str
        How the model is called in scripts and on screen.
    function : callable
        ``function(coords, *params)`` written with ``jax.numpy``: ``coords`` is a tuple of `ndim` arrays of one shape,
        in axis order (``(y, x)`` for a surface, ``(t,)`` for a curve); each of ``params`` is a number. It returns the
        model's values in that shape, each of which depends on its own coordinates alone: a sum, a mean or a difference
        over samples is refused when it is fitted.
    parameters : sequence of Parameter
        In the order in which `function` takes them.
    ndim : int
        Number of coordinates.
    guess : callable
        ``guess(coords, data, weights)`` returns starts of shape ``(n_params, n_fits)`` for a whole batch. ``data`` and
        ``weights`` have shape ``(n_samples, n_fits)``; a weight of 0 marks a sample that is not used (its data are 0),
        otherwise it is ``1/σ``. Each of ``coords`` has shape ``(n_samples, 1)``, or ``(n_samples, n_fits)`` where every
        fit has its own. Starts outside the bounds are moved inside.
    formula : str
        The function as text.
    reference : str
        Where the formula comes from.
    jacobian : callable, optional
        ``jacobian(coords, *params)`` returns the derivatives with the parameters along the first axis. Without it they
        come from automatic differentiation, which is exact.
    reassociate : bool
        Whether the compiler may add up and multiply in another order than the function is written in, which is several
        times as fast. False evaluates exactly as written, for formulas such as ``(x + c) - c``.

    Raises
    ------
    FitInputError
        If two parameters share a name, there are none, or `ndim` is less than 1.

    See Also
    --------
    napari_imagefit.models : those that come with the package, by name.
    napari_imagefit.Model.from_expression : makes one from a formula, with a guess of its starts.
    napari_imagefit.Parameter : what `parameters` are.

    Notes
    -----
    Models compare and hash by identity: two closures that differ only in a constant are two models.

    Examples
    --------
    >>> import numpy as np
    >>> line = Model(
    ...     "line", lambda coords, slope: slope * coords[0], [Parameter("slope")], 1,
    ...     guess=lambda coords, data, weights: np.ones((1, data.shape[1])), formula="slope·t", reference="school")
    >>> line.names
    ('slope',)
    """

    name: str
    function: Function
    parameters: Sequence[Parameter]
    ndim: int
    guess: Guess
    formula: str = ""
    reference: str = ""
    jacobian: Function | None = None
    reassociate: bool = True
    names: tuple[str, ...] = field(init=False)
    # what the model computes, equal for models that compute the same; None: it counts by identity
    value: Hashable = field(init=False, default=None)
    # whether functions of one coordinate are worth a table of their values; see `on_open_grids`
    open_grids: bool = field(init=False, default=False)
    # angles after whose turn it is the same again
    turns: tuple[Turn, ...] = field(init=False, default=())
    # parts that data may lack, by the parameters of each: without one the others are determined all the same
    optional: tuple[tuple[str, ...], ...] = field(init=False, default=())
    # whether it bends so sharply that derivatives do not describe the surroundings of an end
    has_edge: bool = field(init=False, default=False)
    # roles of its parameters; None: from their units and names
    roles: Roles | None = field(init=False, default=None)
    # its handles on screen; None: from its roles, see `handles`
    handles: tuple[Handle, ...] | None = field(init=False, default=None)
    # a guess that takes the starts and bounds of the call
    guess_within: GuessWithin | None = field(init=False, default=None)
    # models of other people's code that it is made of
    foreign: tuple[Model, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "names", tuple(p.name for p in self.parameters))
        if not self.names:
            raise FitInputError(f"model {self.name!r} has no parameters; give it at least one")
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise FitInputError(f"model {self.name!r} has two parameters named {doubled[0]!r}; give each its own name")
        if self.ndim < 1:
            raise FitInputError(f"model {self.name!r} has ndim={self.ndim}; it must be 1 or more")
        if not str(getattr(self.function, "__module__", "")).startswith(PACKAGE):
            object.__setattr__(self, "foreign", (self,))

    def __repr__(self) -> str:
        return f"<Model {self.name}({', '.join(self.names)})>"

    @property
    def key(self) -> Hashable:
        """Equal for models that compute the same; programs are found by it."""
        return self if self.value is None else self.value

    @property
    def broadcasts(self) -> bool:
        """Whether function and guess are written for NumPy arrays of many fits, too, as those of this package are."""
        return not self.foreign

    # whether values at some samples depend on all of them, so that nothing may be padded
    exact: ClassVar[bool] = False

    def made_of(self, value: Hashable, *parts: Model, broadcasts: bool = True) -> Self:
        """Return the model itself, once it is known what it computes and of which models it is made."""
        foreign = tuple(dict.fromkeys(one for part in parts for one in part.foreign)) if broadcasts else (self,)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "foreign", foreign)
        object.__setattr__(self, "reassociate", self.reassociate and all(part.reassociate for part in parts))
        return self

    def knowing(self, guess: GuessWithin, roles: Roles | None = None) -> Self:
        """Return the model itself, with a guess that takes starts and bounds of a call, and roles of its parameters."""
        object.__setattr__(self, "guess_within", guess)
        object.__setattr__(self, "roles", roles)
        return self

    def on_open_grids(self) -> Self:
        """Return the model itself.

        It is to see windows of full rows and columns as coordinates ``(h, 1)`` and ``(1, w)``.

        Its function keeps what it computes of one of them apart from the pixels by `xp.optimization_barrier`.
        """
        object.__setattr__(self, "open_grids", True)
        return self

    def turning(self, *turns: Turn) -> Self:
        """Return the model itself, with one representative of its equivalent solutions; see `turns`."""
        object.__setattr__(self, "turns", turns)
        return self

    def may_lack(self, *parts: tuple[str, ...]) -> Self:
        """Return the model itself, of which one of these parts may be absent; each is given by its own parameters."""
        object.__setattr__(self, "optional", tuple(part for part in parts if part))
        return self

    def held_by(self, *handles: Handle) -> Self:
        """Return the model itself, of which these can be taken hold of on screen, and nothing else."""
        object.__setattr__(self, "handles", handles)
        return self

    def with_edge(self, has_edge: bool = True) -> Self:
        """Return the model itself, of which the cost around each end is looked at; see `flat_cost`."""
        object.__setattr__(self, "has_edge", has_edge)
        return self

    def index(self, name: str) -> int:
        """Position of a parameter, by name.

        Raises
        ------
        FitInputError
            If the model has no parameter of that name.
        """
        try:
            return self.names.index(name)
        except ValueError:
            known = ", ".join(self.names)
            raise FitInputError(f"model {self.name!r} has no parameter {name!r}; it has {known}") from None

    @property
    def lower(self) -> np.ndarray:
        """The parameters' own lower bounds, shape ``(n_params,)``."""
        return np.array([p.lower for p in self.parameters])

    @property
    def upper(self) -> np.ndarray:
        """The parameters' own upper bounds, shape ``(n_params,)``."""
        return np.array([p.upper for p in self.parameters])

    def __radd__(self, other: object) -> Model:
        """Add to 0, with which ``sum([gaussian, plane])`` begins."""
        return self if other == 0 and isinstance(other, int) else NotImplemented

    def __add__(self, other: Model) -> Model:
        """Return the sum of two models: ``gaussian + plane``.

        Equal names get the number of their part (``amplitude_1``, ``amplitude_2``). Of several constants ``offset`` the
        first is kept; the others, which could not be distinguished from it, are left out.

        Raises
        ------
        FitInputError
            If the models take different numbers of coordinates.

        Examples
        --------
        >>> line = Model.from_expression("slope*t + offset", ["t"])
        >>> decay = Model.from_expression("amplitude*exp(-t/tau) + offset", ["t"])
        >>> (line + decay).formula
        'slope*t + offset + amplitude*exp(-t/tau)'
        >>> (decay + decay + line).names
        ('amplitude_1', 'tau_1', 'offset', 'amplitude_2', 'tau_2', 'slope')
        """
        if not isinstance(other, Model):
            return NotImplemented
        from .model_sum import add

        return add(self, other)

    def bind(self, *coords: ArrayLike) -> BoundModel:
        """Return the model at these coordinates, one array for each of `ndim`.

        Raises
        ------
        FitInputError
            For a wrong number of coordinates, shapes that differ, and coordinates that are not finite.

        Examples
        --------
        >>> Model.from_expression("slope*t", ["t"]).bind([0, 1, 2]).predict([[10.0]]).ravel()
        array([ 0., 10., 20.])
        """
        from .bound_model import bind

        return bind(self, *coords)

    @classmethod
    def from_expression(
        cls,
        text: str,
        coords: Sequence[str],
        *,
        name: str | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        init: Mapping[str, float] | None = None,
    ) -> Model:
        """Return a model from a formula, such as ``"a*exp(-t/tau) + c"``.

        See `napari_imagefit.engine.functions.expression_syntax` for what a formula may hold; nothing else is ever run.

        Parameters
        ----------
        text : str
            The formula. Names that are neither coordinates, functions nor constants (``pi``, ``e``) are the parameters,
            in the order in which they appear.
        coords : sequence of str
            Names of the coordinates, in axis order: ``["t"]``, ``["y", "x"]``.
        name : str, optional
            The text if not given.
        bounds : dict, optional
            ``{"tau": (0, inf)}``.
        init : dict, optional
            Starts. What is not given is guessed from the data.

        Raises
        ------
        FitInputError
            If the formula holds what it may not, and for names or numbers that do not fit it.

        Examples
        --------
        >>> Model.from_expression("a*exp(-t/tau) + c", ["t"], name="decay", bounds={"tau": (0, float("inf"))})
        <Model decay(a, tau, c)>
        """
        formula = read_formula(text, coords, name=name, bounds=bounds, init=init)
        model = Model(formula.name, formula.function, formula.parameters, len(coords), formula.guess, formula=text)
        return model.knowing(formula.guess_within, formula.roles).made_of(formula.value)


@dataclass(frozen=True, eq=False, repr=False)
class WholeModel(Model):
    """A model whose values depend on all samples at once."""

    exact: ClassVar[bool] = True


def roles_of(model: Model) -> Roles:
    """Return the roles of a model's parameters."""
    if model.roles is not None:
        return model.roles
    parameters = tuple(enumerate(model.parameters))
    linear = tuple(i for i, p in parameters if p.unit.startswith("data") or is_constant(p))
    constant = next((i for i, p in parameters if is_constant(p)), None)
    axes = {f"coord{axis}": axis for axis in range(model.ndim)}
    positions = tuple((i, axes[p.unit]) for i, p in parameters if p.unit in axes and p.lower < 0)
    scales = tuple(i for i, p in parameters if p.unit in (*axes, "coord") and p.lower >= 0)
    angles = [i for i, p in parameters if p.unit == "rad"]
    widths = [i for i in scales if model.parameters[i].unit == "coord"]
    turned = ((angles[0], widths[0], widths[1]),) if len(angles) == 1 and len(widths) == 2 and model.ndim == 2 else ()
    return Roles(linear, constant, positions, scales, turned)
