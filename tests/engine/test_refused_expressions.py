"""Texts that are no formula are refused without effect, in a sentence that names the piece."""

from __future__ import annotations

import builtins
import os
import subprocess
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_imagefit import Model
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.functions.expression_syntax import MOST_CHARACTERS

HOSTILE = [
    "__import__('os').system('touch hacked')",
    "__import__",
    "__builtins__",
    "a + __class__",
    "a.__class__.__mro__",
    "(1).__class__.__bases__[0].__subclasses__()",
    "a.real",
    "t[0]",
    "t[::2]",
    "(lambda: a)()",
    "lambda t: a",
    "[a for a in t]",
    "{a for a in t}",
    "{a: t}",
    "sum(a for x in t)",
    "[a, t]",
    "(a, t)",
    "open('/etc/passwd')",
    "eval('a')",
    "exec('a = 1')",
    "compile('a', '', 'eval')",
    "globals()",
    "getattr(t, 'real')",
    "print(a)",
    "exit()",
    "jnp.exp(a)",
    "np.load('x')",
    "exp.__call__(a)",
    "exp(a, t)",
    "exp()",
    "exp(x=a)",
    "exp(*t)",
    "exp(**a)",
    "exp(a)(t)",
    "exp",
    "'a' * 1000000000",
    "f'{a}'",
    "b'a' + a",
    "...",
    "None",
    "True + a",
    "2j * a",
    "a := 1",
    "(a := 1)",
    "a = 1",
    "a; t",
    "import os",
    "del a",
    "a if t else 1",
    "a and t",
    "not a",
    "~a",
    "a @ t",
    "a // t",
    "a % t",
    "a << 99999999",
    "a ^ 2",
    "a | t",
    "a < t",
    "where(a, t, 1)",
    "where(a < t < 1, t, 1)",
    "where(a == t, t, 1)",
    "where(a < t, t)",
    "where(a < open('x'), t, 1)",
    "a in t",
    "a is t",
    "await a",
    "yield a",
    "a + 9**9**9",
    "a * 1e999",
    "a + 0/0",
    "a + 1/0",
    "a + (-8)**0.5",
    "a + log(0)",
    "a + 9" + "9" * 400,
    "a +" + " + ".join(["1"] * 300),
    "(" * 400 + "a" + ")" * 400,
    "-" * 900 + "a",
    "exp(" * 150 + "a" + ")" * 150,
    "a" * (MOST_CHARACTERS + 1),
    "a + 1 # t",
    "a\\",
    "a\x00",
    "a\ud800",
    "a b",
    "a +",
    "",
    "   ",
    "1 + 2",
    "t",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_a_formula_is_refused_without_effect(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    called: list[str] = []
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as watched:
        for module, name in ((builtins, "open"), (builtins, "eval"), (builtins, "exec"), (os, "system"),
                             (subprocess, "Popen")):  # fmt: skip
            watched.setattr(module, name, lambda *_a, name=name, **_k: called.append(name))
        with pytest.raises(FitInputError) as refused:
            Model.from_expression(text, ["t"])
    assert not called
    assert not list(tmp_path.iterdir())
    message = str(refused.value)
    # one sentence that says what to do, of bounded length
    assert ";" in message
    assert len(message) < 400
    assert message.isprintable()


def test_the_message_names_the_piece() -> None:
    for text, piece in {
        "a*exp(-t/tau) + open(t)": "'open' is not a function that an expression may use; use one of exp, exp2",
        "a + t.real": "'t.real' is not part of an expression; use numbers, names",
        "a*t^2": r"'a\*t\^2' holds '\^', which is not a power; write a\*\*b",
        "a*sin": r"'sin' is a function; call it as sin\(a\)",
        "a*sin(t, 2)": r"'sin\(t, 2\)' does not give sin what it takes; write sin\(a\)",
        "a + 9**9**9": r"'9\*\*9\*\*9' is no finite number",
        "a + 2 t": "cannot be read at",
        "2*t": "no parameter to fit",
    }.items():
        with pytest.raises(FitInputError, match=piece):
            Model.from_expression(text, ["t"])


class Trap(str):
    """A text that would notice being used."""

    __slots__ = ()

    def split(self, *_args: Any) -> Any:
        raise AssertionError

    __repr__ = __str__ = __format__ = split  # type: ignore[assignment]


@pytest.mark.parametrize("text", [None, 3, b"a*t", ["a"], Trap("a*t")])
def test_only_plain_text(text: Any) -> None:
    with pytest.raises(FitInputError, match="an expression is a text"):
        Model.from_expression(text, ["t"])


@pytest.mark.parametrize(
    "coords", [[], "t", None, ["t", "t"], ["2"], ["lambda"], ["_t"], ["exp"], ["pi"], [3], ["a b"]]
)
def test_wrong_coordinates(coords: Any) -> None:
    with pytest.raises(FitInputError, match=r"; \w"):
        Model.from_expression("a*t", coords)


@pytest.mark.parametrize(
    "said",
    [
        {"bounds": {"b": (0, 1)}},
        {"init": {"t": 1}},
        {"bounds": {"a": 1}},
        {"bounds": {"a": (1, 0)}},
        {"bounds": {"a": (0, np.nan)}},
        {"bounds": {"a": ("x", 1)}},
        {"bounds": {"a": (0, 1)}, "init": {"a": 2}},
        {"init": {"a": np.nan}},
        {"init": {"a": [1, 2]}},
        {"init": {"a": "1"}},
        {"name": ""},
        {"name": 3},
    ],
)
def test_wrong_bounds_starts_and_names(said: dict[str, Any]) -> None:
    with pytest.raises(FitInputError):
        Model.from_expression("a*t", ["t"], **said)


WORDS = [
    *"at+-*/()<=., 1298^[]{}:'\"\\#\n_@;",
    "**",
    "exp",
    "where(",
    "lambda ",
    "e",
    "pi",
    ".__class__",
    "1e9",
    "t0",
    "µ",
]


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=25).map("".join)))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_model_or_refused(text: str) -> None:
    try:
        model = Model.from_expression(text, ["t"])
    except FitInputError:
        return
    assert model.formula == text
    model.function((np.linspace(-1, 1, 3),), *range(len(model.names)))


@pytest.mark.parametrize("text", ["a*t + nan", "inf*a*t", "Inf*t"])
def test_no_numbers_are_not_taken_for_parameters(text: str) -> None:
    with pytest.raises(FitInputError, match="is no finite number"):
        Model.from_expression(text, ["t"])
