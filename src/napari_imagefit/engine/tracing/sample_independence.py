"""Check that a traced function is element-wise in the samples.

The same function traced at two lengths gives two jaxprs, which are walked side by side. The axis of a variable along
which the two differ is that of the samples; everything else has to be equal, so that nothing else can depend on the
length. By induction over the equations then holds:

- a variable without such an axis depends neither on xdata nor on the length,
- element i along such an axis depends only on sample i, in the same way for every i.

Only operations known to keep both are let through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .jaxprs import Equation, Jaxpr, constants, custom_rule, fingerprint, is_jaxpr, operation

ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz complex conj
    convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge gt igamma
    igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul ne neg
    nextafter not or polygamma polynomial population_count pow real reduce_precision regularized_incomplete_beta rem
    round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient
    sub tan tanh xor zeta
    """.split()  # noqa: SIM905 - eighty lines
)
# calls, loops and branches; their other parameters have to be equal, but for rules by which to differentiate
NESTED = frozenset(
    """
    call checkpoint closed_call cond core_call custom_jvp_call custom_vjp_call jit pjit remat remat2 scan while
    """.split()  # noqa: SIM905 - eighty lines
)
RULES_OF_DERIVATIVES = ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "out_trees")


class _MixedError(Exception):
    """No proof: samples may be mixed."""


def _require(condition: bool) -> None:
    if not condition:
        raise _MixedError


def is_samplewise(one: Jaxpr, two: Jaxpr, lengths: tuple[int, int]) -> bool:
    """Whether a function of ``(xdata, *params)``, traced at two lengths of `xdata`, is proved to keep samples apart.

    Two lengths do not prove that the function does the same at a third, as ``if x.size > 1000`` does.

    Parameters
    ----------
    one, two : jaxpr
        With one output each, whose only axis is that of the samples.
    lengths : tuple of int
        The number of samples in each, not the same.
    """
    try:
        # an output of the same shape in both has nothing to do with the samples, whatever its length
        return _Walk(lengths).jaxprs(one, two) == [0]
    except _MixedError:
        return False


@dataclass(frozen=True)
class _Step:
    """One operation that a sample takes part in, in both jaxprs."""

    one: Equation
    two: Equation
    ins: list[int | None]  # where the samples are, for each operand
    outs: list[int | None]
    lengths: tuple[int, int]

    def same(self, *without: str) -> None:
        """Parameters must be equal, but for those that hold shapes, which were compared with the variables'."""
        _require(operation(self.one, without=without) == operation(self.two, without=without))

    def both(self, name: str) -> Iterator[tuple[Any, int]]:
        """Return a parameter and the number of samples, in the one jaxpr and in the other."""
        return zip((self.one.params[name], self.two.params[name]), self.lengths, strict=True)

    def param(self, name: str) -> Any:
        return self.one.params[name]

    def moved(self, to: Callable[[int], int]) -> None:
        """Check that the first operand and every result have samples at these axes, and other operands none."""
        axis, *others = self.ins
        _require(axis is not None and not any(other is not None for other in others))
        _require(axis is not None and all(out == to(axis) for out in self.outs))


class _Walk:
    def __init__(self, lengths: tuple[int, int]) -> None:
        self.lengths = lengths

    def axis(self, one: Any, two: Any) -> int | None:
        """Return the axis of the samples."""
        a, b = one.aval, two.aval
        _require(a.dtype == b.dtype and a.weak_type == b.weak_type and len(a.shape) == len(b.shape))
        differ = [i for i, sizes in enumerate(zip(a.shape, b.shape, strict=True)) if sizes[0] != sizes[1]]
        if not differ:
            return None
        _require(len(differ) == 1 and (a.shape[differ[0]], b.shape[differ[0]]) == self.lengths)
        return differ[0]

    def jaxprs(self, one: Jaxpr, two: Jaxpr) -> list[int | None]:
        """Walk them side by side, and return the axis of the samples of each output."""
        # numbers or arrays made from the length would differ
        _require(fingerprint(constants(one)) == fingerprint(constants(two)))
        one, two = getattr(one, "jaxpr", one), getattr(two, "jaxpr", two)
        pairs: dict[Any, Any] = {}

        def define(of_one: Any, of_two: Any) -> list[int | None]:
            _require(len(of_one) == len(of_two))
            pairs.update(zip(of_one, of_two, strict=True))
            return [self.axis(a, b) for a, b in zip(of_one, of_two, strict=True)]

        def use(of_one: Any, of_two: Any) -> list[int | None]:
            _require(len(of_one) == len(of_two))
            for a, b in zip(of_one, of_two, strict=True):
                literal = hasattr(a, "val")
                _require(literal == hasattr(b, "val"))
                _require(fingerprint(a.val) == fingerprint(b.val) if literal else pairs[a] is b)
            return [self.axis(a, b) for a, b in zip(of_one, of_two, strict=True)]

        # not one of them may have an axis of samples: what stands there is not known to be the sample's own
        _require(not any(axis is not None for axis in define(one.constvars, two.constvars)))
        define(one.invars, two.invars)
        _require(len(one.eqns) == len(two.eqns))
        for a, b in zip(one.eqns, two.eqns, strict=True):
            self.equation(_Step(a, b, use(a.invars, b.invars), define(a.outvars, b.outvars), self.lengths))
        return use(one.outvars, two.outvars)

    def equation(self, step: _Step) -> None:
        name = step.one.primitive.name
        _require(name == step.two.primitive.name)
        if all(axis is None for axis in step.ins + step.outs):
            step.same()
        elif name in NESTED:
            self.nested(step)
        elif name in ELEMENTWISE:
            step.same()
            _elementwise(step)
        else:
            _require(name in SHAPING)
            SHAPING[name](step)

    def nested(self, step: _Step) -> None:
        """Loops, branches and calls hand their operands on, so the axes are found anew inside."""
        inner: list[tuple[Any, Any]] = []
        names = [n for n, value in step.one.params.items() if _has_jaxpr(value)]
        for name in names:
            one, two = step.param(name), step.two.params.get(name)
            one, two = (one, two) if isinstance(one, tuple) else ((one,), (two,))
            _require(isinstance(two, tuple) and len(one) == len(two) and all(map(is_jaxpr, (*one, *two))))
            inner += zip(one, two, strict=True)
        _require(bool(inner))
        step.same(*names, *RULES_OF_DERIVATIVES)
        for pair in inner:
            self.jaxprs(*pair)
        if "jvp_jaxpr_fun" in step.one.params:
            # the derivatives have to keep samples apart as well
            rules = custom_rule(step.one), custom_rule(step.two)
            _require(None not in rules)
            _Rules(self.lengths).jaxprs(*rules)


class _Rules(_Walk):
    """Walk inside the rule of a ``custom_jvp``: rules within are not followed, they may lead back to it."""

    def nested(self, step: _Step) -> None:
        if "jvp_jaxpr_fun" in step.one.params:
            step.same("call_jaxpr", *RULES_OF_DERIVATIVES)
            self.jaxprs(step.param("call_jaxpr"), step.two.params["call_jaxpr"])
        else:
            super().nested(step)


def _has_jaxpr(value: Any) -> bool:
    return is_jaxpr(value) or (isinstance(value, tuple) and any(map(is_jaxpr, value)))


def _elementwise(step: _Step) -> None:
    """Operands are numbers, or have as many axes as the results, of their length or of length 1."""
    axis, rank = step.outs[0], len(step.one.outvars[0].aval.shape)
    _require(axis is not None and all(out == axis for out in step.outs))
    for operand, its in zip(step.one.invars, step.ins, strict=True):
        shape = operand.aval.shape
        repeated = its is None and (shape == () or (len(shape) == rank and shape[axis] == 1))
        _require(its == axis or repeated)


def _broadcast(step: _Step) -> None:
    step.same("shape")
    _require(len(step.ins) == 1)
    # a value without samples is repeated for all of them
    if step.ins[0] is not None:
        step.moved(lambda axis: int(step.param("broadcast_dimensions")[axis]))


def _reshape(step: _Step) -> None:
    """Follow a reshape in which only axes of length 1 come and go."""
    step.same("new_sizes")
    (before,), (after,) = step.two.invars, step.two.outvars
    axis, to = step.ins[0], step.outs[0]
    _require(axis is not None and to is not None and step.param("dimensions") is None)
    # in the second jaxpr the samples are more than one
    sizes = [[size for size in v.aval.shape[:end] if size != 1] for v, end in ((before, axis), (after, to))]
    sizes += [[size for size in v.aval.shape if size != 1] for v in (before, after)]
    _require(sizes[0] == sizes[1] and sizes[2] == sizes[3])


def _squeeze(step: _Step) -> None:
    step.same()
    step.moved(lambda axis: axis - sum(d < axis for d in step.param("dimensions")))


def _slice(step: _Step) -> None:
    step.same("limit_indices")
    axis = step.ins[0]
    _require(axis is not None and step.param("start_indices")[axis] == 0)
    _require(step.param("strides") is None or step.param("strides")[axis] == 1)
    for limits, length in step.both("limit_indices"):
        _require(limits[axis] == length)
    step.moved(lambda axis: axis)


def _dynamic_slice(step: _Step) -> None:
    # a full-length slice starts at 0, whatever its start index
    step.same("slice_sizes")
    axis = step.ins[0]
    _require(axis is not None and all(sizes[axis] == length for sizes, length in step.both("slice_sizes")))
    step.moved(lambda axis: axis)


def _transpose(step: _Step) -> None:
    step.same()
    step.moved(lambda axis: list(step.param("permutation")).index(axis))


def _concatenate(step: _Step) -> None:
    step.same()
    axis = step.outs[0]
    _require(axis is not None and axis != step.param("dimension") and all(its == axis for its in step.ins))


def _stack(step: _Step) -> None:
    step.same()
    axis = step.ins[0]
    _require(axis is not None and all(its == axis for its in step.ins))
    _require(step.outs[0] == (axis or 0) + (step.param("axis") <= (axis or 0)))


def _unstack(step: _Step) -> None:
    step.same()
    _require(step.ins[0] != step.param("axis"))
    step.moved(lambda axis: axis - (step.param("axis") < axis))


def _reduce(step: _Step) -> None:
    step.same()
    _require(step.ins[0] not in step.param("axes"))
    step.moved(lambda axis: axis - sum(d < axis for d in step.param("axes")))


def _cumulate(step: _Step) -> None:
    step.same()
    _require(step.ins[0] != step.param("axis"))
    step.moved(lambda axis: axis)


SHAPING: dict[str, Callable[[_Step], None]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dynamic_slice": _dynamic_slice,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
    "unstack": _unstack,
    **dict.fromkeys(("cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"), _cumulate),
    **{f"reduce_{name}": _reduce for name in ("and", "max", "min", "or", "prod", "sum", "xor")},
    **dict.fromkeys(("argmax", "argmin"), _reduce),
}
