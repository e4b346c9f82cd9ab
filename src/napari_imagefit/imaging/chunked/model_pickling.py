"""Models on their way to other processes, where each arrives once: a model met again is not compiled again."""

from __future__ import annotations

import copyreg
import pickle
import uuid
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..._lazy import LazyModule
from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ..spots.background import SlopedModel, with_background

Parcel = tuple[str, str, bytes]

# Functions of our own refer to modules that load when they are used.
copyreg.pickle(LazyModule, lambda module: (LazyModule, (module.__name__,)))

MODEL_FIELDS = ("name", "function", "parameters", "ndim", "guess", "formula", "reference", "jacobian", "reassociate")
# what the constructor finds out by itself, which may be more for a model that was made of others
FOUND = ("value", "foreign", "turns", "optional", "has_edge")
_names: WeakKeyDictionary[Model, str] = WeakKeyDictionary()
_sent: WeakValueDictionary[str, Model] = WeakValueDictionary()
_arrived: dict[str, Model] = {}


def send(model: Model) -> Parcel:
    """Return a model as something that can be pickled; one of the catalogue goes by its name.

    Raises
    ------
    FitInputError
        If its function cannot be sent.
    """
    if models.get(model.name) is model:
        return "catalogue", model.name, b""
    if isinstance(model, SlopedModel):
        return "sloping", model.name, pickle.dumps(send(model.base))
    token = _names.setdefault(model, uuid.uuid4().hex)
    # the same process gets the same model back, without unpacking it
    _sent[token] = model
    import cloudpickle

    try:
        return "pickled", token, cloudpickle.dumps({name: getattr(model, name) for name in MODEL_FIELDS + FOUND})
    except (pickle.PicklingError, TypeError) as error:
        raise FitInputError(
            f"model {model.name!r} cannot be sent to other processes ({error}); write its functions at the top of a "
            "module, or give an expression"
        ) from error


def receive(parcel: Parcel) -> Model:
    """Return the model that was sent."""
    kind, name, pickled = parcel
    if kind == "catalogue":
        return models[name]
    if kind == "sloping":
        return with_background(receive(pickle.loads(pickled)), "sloping")
    if (own := _sent.get(name)) is not None:
        return own
    if name not in _arrived:
        # what a process sends, it may run: this is Dask's own trust in its cluster
        fields = pickle.loads(pickled)
        model = Model(**{field: fields[field] for field in MODEL_FIELDS})
        for field in FOUND:
            object.__setattr__(model, field, fields[field])
        _arrived[name] = model
    return _arrived[name]
