"""JSON values against the schema: types checked, unknown fields found, and the result as the API server prints it.

Printing as the API server does means: fields in the order of the Go structs, quantities and times canonical, zero values of plain
(non-pointer) fields dropped, values that Go always prints filled in. Called by ``decode`` and, for patched objects, by ``api``.
The fast path below keeps no path; when something is wrong, ``_Diagnosis`` walks again in the order of the document to name it.
Source: sigs.k8s.io/json and encoding/json, for the words.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from podspace import errors
from podspace.kube import gotime, quantity, schema
from podspace.kube.json import JSON

INT_LIMITS = {"int32": 2**31, "int64": 2**63}
_Convert = Callable[[Any], Any]


class Number(float):
    """A JSON number with a fraction or an exponent, which remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


class Repeated(dict[str, Any]):
    """A JSON object in which a key came more than once; the last one won."""

    pairs: list[tuple[str, Any]]


class Mismatch(Exception):
    """A value of the wrong type; ``found`` as Go names it ("number 1.5")."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found, wanted)
        self.found = found
        self.wanted = wanted


class _Unknown(Exception):
    """There are unknown or repeated fields; the careful walk will find them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """``obj`` is canonical; ``problems`` are sentences like ``unknown field "spec.foo"``, in the order of the document."""

    obj: JSON
    problems: list[str]


def convert(obj: JSON, model: str) -> Checked:
    """Check and canonicalise one object; the argument is not changed.

    Raises: BadRequest with Go's sentence for the first value of a wrong type.
    """
    try:
        return Checked(obj=_model(model)(obj), problems=[])
    except _Unknown:
        problems = list(_Diagnosis(model).walk(obj))
        return Checked(obj=_model(model, True)(obj), problems=problems)
    except (Mismatch, ValueError) as error:
        for _ in _Diagnosis(model).walk(obj):
            pass  # raises at the first wrong type in the order of the document
        raise errors.BadRequest(str(error)) from error


def check(obj: JSON, kind: str, group: str = "") -> list[str]:
    """Unknown and repeated fields of an object, e.g. after a patch. Raises: BadRequest for a wrong type."""
    return convert(obj, schema.model_of(kind, group)).problems


def repeated(value: Any, path: str = "") -> list[str]:
    """Keys that come more than once anywhere in a decoded JSON text: ``duplicate field "metadata.labels.a"``."""
    if isinstance(value, list):
        return [words for index, item in enumerate(value) for words in repeated(item, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return []
    found, seen = [], set()
    for key, item in value.pairs if isinstance(value, Repeated) else value.items():
        where = f"{path}.{key}" if path else key
        if key in seen:
            found.append(f'duplicate field "{where}"')
        seen.add(key)
        found += repeated(item, where)
    return found


def normalize(obj: JSON, kind: str, group: str = "") -> JSON:
    """The canonical form, unknown fields dropped. Raises: BadRequest for a wrong type."""
    return convert(obj, schema.model_of(kind, group)).obj


@functools.cache
def _model(name: str, lenient: bool = False) -> _Convert:
    """The converter of a model; ``lenient`` drops unknown fields instead of raising _Unknown."""
    plan: list[tuple[str, _Convert, bool]] = []
    always: list[tuple[str, _Convert | None, Any]] = []

    def prepare() -> None:
        """At the first use, because models refer to each other; assigned at once, because threads may be two."""
        members = schema.fields(name).values()
        always[:] = [(field.name, *_zero(field.type, lenient)) for field in members if field.always]
        plan[:] = [
            (field.name, _converter(field.type, lenient), field.pointer or field.always or _keeps_zero(field.type)) for field in members
        ]

    def convert_model(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(kind_of(value), "")
        if not plan:
            prepare()
        result = {}
        left = len(value)
        for key, convert_field, keep in plan:
            if key in value:
                left -= 1
                item = value[key]
                if item is not None:
                    converted = convert_field(item)
                    if converted or keep:
                        result[key] = converted
        if (left or type(value) is Repeated) and not lenient:
            raise _Unknown
        if always:
            return _fill(result)
        return result

    def _fill(result: JSON) -> JSON:
        missing = False
        for key, make, zero in always:
            if key not in result:
                result[key] = make({}) if make else zero
                missing = True
        return {key: result[key] for key, _, _ in plan if key in result} if missing else result

    return convert_model


def _keeps_zero(kind: schema.Type) -> bool:
    """Structs behind a pointer are told from absent ones, and raw values are not ours to judge."""
    return kind.is_model or kind.base == "raw"


def _zero(kind: schema.Type, lenient: bool) -> tuple[_Convert | None, Any]:
    """(maker for structs, plain zero otherwise); a struct the client must give and Go holds by pointer is None."""
    if kind.shape or kind.base in ("time", "microtime"):
        return None, None
    if kind.base == "BoundObjectReference":
        return None, None
    if kind.is_model:
        return _model(kind.base, lenient), None
    zeros: dict[str, Any] = {"bool": False, "int32": 0, "int64": 0, "intstr": 0, "quantity": "0", "raw": None}
    return None, zeros.get(kind.base, "")


def _converter(kind: schema.Type, lenient: bool) -> _Convert:
    if kind.shape.startswith(schema.LIST):
        return _list(_converter(kind.element, lenient), _element_zero(kind.element, lenient))
    if kind.shape.startswith(schema.MAP):
        return _map(_converter(kind.element, lenient), _element_zero(kind.element, lenient), lenient)
    return _SCALARS[kind.base] if kind.base in schema.SCALARS else _model(kind.base, lenient)


def _element_zero(kind: schema.Type, lenient: bool) -> Callable[[], Any]:
    """What a null in a list or a map stands for."""
    make, zero = _zero(kind, lenient)
    return (lambda: make({})) if make else (lambda: zero)


def _list(convert_item: _Convert, zero: Callable[[], Any]) -> _Convert:
    def convert_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise Mismatch(kind_of(value), "")
        return [convert_item(item) if item is not None else zero() for item in value]

    return convert_list


def _map(convert_item: _Convert, zero: Callable[[], Any], lenient: bool) -> _Convert:
    def convert_map(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(kind_of(value), "")
        if type(value) is Repeated and not lenient:
            raise _Unknown
        return {key: convert_item(item) if item is not None else zero() for key, item in sorted(value.items())}

    return convert_map


def _string(value: Any) -> Any:
    if type(value) is not str:
        raise Mismatch(kind_of(value), "string")
    return value


def _bool(value: Any) -> Any:
    if value is not True and value is not False:
        raise Mismatch(kind_of(value), "bool")
    return value


def _int(name: str) -> _Convert:
    limit = INT_LIMITS[name]

    def convert_int(value: Any) -> Any:
        if type(value) is not int or not -limit <= value < limit:
            raise Mismatch(kind_of(value, literal=True), name)
        return value

    return convert_int


def _float(value: Any) -> Any:
    if type(value) not in (int, float, Number):
        raise Mismatch(kind_of(value), "float64")
    return value


def _bytes(value: Any) -> Any:
    if type(value) is not str:
        raise Mismatch(kind_of(value), "[]uint8")
    text = value.replace("\r", "").replace("\n", "")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"illegal base64 data at input byte {_bad_byte(value)}") from error
    return text


def _bad_byte(text: str) -> int:
    """Where Go's decoder stops: the first strange byte, else the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\r\n"
    for place, letter in enumerate(text):
        if letter not in alphabet and not (letter == "=" and place % 4 >= 2 and not text[place:].strip("=\r\n")):
            return place
    return len(text) // 4 * 4


def _quantity(value: Any) -> Any:
    if type(value) is str:
        return quantity.canonical(value.strip())
    if type(value) is int:
        return quantity.canonical(str(value))
    if isinstance(value, Number):
        return quantity.canonical(value.text)
    raise ValueError(quantity.NOT_A_QUANTITY)


def _time(value: Any) -> Any:
    if type(value) is not str:
        raise Mismatch(kind_of(value), "string")
    return gotime.canonical(value)


def _microtime(value: Any) -> Any:
    if type(value) is not str:
        raise Mismatch(kind_of(value), "string")
    return gotime.canonical(value, micro=True)


def _intstr(value: Any) -> Any:
    return value if type(value) is str else _SCALARS["int32"](value)


_SCALARS: dict[str, _Convert] = {
    "string": _string,
    "bool": _bool,
    "int32": _int("int32"),
    "int64": _int("int64"),
    "float64": _float,
    "bytes": _bytes,
    "quantity": _quantity,
    "time": _time,
    "microtime": _microtime,
    "intstr": _intstr,
    "raw": lambda value: value,
}


def kind_of(value: Any, *, literal: bool = False) -> str:
    """Go's word for a JSON value; numbers that do not fit are shown."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return f"number {getattr(value, 'text', value)}" if literal else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class _Diagnosis:
    """The careful walk: yields unknown and repeated fields, raises BadRequest at the first wrong type."""

    def __init__(self, model: str) -> None:
        self._root = model

    def walk(self, obj: JSON) -> Iterator[str]:
        return self._model(self._root, obj, "", "")

    def _model(self, model: str, value: Any, path: str, go_path: str) -> Iterator[str]:
        known = schema.fields(model)
        seen: set[str] = set()
        for key, item in value.pairs if isinstance(value, Repeated) else value.items():
            if key not in known:
                if key not in seen:
                    yield f'unknown field "{path}{key}"'
            elif key in seen:
                yield f'duplicate field "{path}{key}"'
            seen.add(key)
            if item is not None and key in known:
                go_key = f"{go_path}{_embedded(model, key)}{key}"
                yield from self._value(known[key].type, item, f"{path}{key}", go_key, f"{model.rpartition('.')[2]}.{go_key}")

    def _value(self, kind: schema.Type, value: Any, path: str, go_path: str, where: str) -> Iterator[str]:
        if not kind.shape and kind.base in schema.SCALARS:
            self._scalar(kind, value, where)
            return
        wanted = list if kind.shape.startswith(schema.LIST) else dict
        if not isinstance(value, wanted):
            raise _bad_type(kind_of(value), where, _go_type(kind))
        if kind.is_model:
            yield from self._model(kind.base, value, f"{path}.", f"{go_path}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if item is not None:
                    yield from self._value(kind.element, item, f"{path}[{index}]", go_path, where)
        else:
            yield from self._map(kind.element, value, path, go_path, where)

    def _map(self, kind: schema.Type, value: Any, path: str, go_path: str, where: str) -> Iterator[str]:
        seen: set[str] = set()
        for key, item in value.pairs if isinstance(value, Repeated) else value.items():
            if key in seen:
                yield f'duplicate field "{path}.{key}"'
            seen.add(key)
            if item is not None:
                yield from self._value(kind, item, f"{path}.{key}", go_path, where)

    def _scalar(self, kind: schema.Type, value: Any, where: str) -> None:
        try:
            _SCALARS[kind.base](value)
        except Mismatch as error:
            raise _bad_type(error.found, where, kind.go_name or error.wanted) from error
        except ValueError as error:
            raise errors.BadRequest(str(error)) from error


_PROBE_NUMBERS = (
    *("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"),
    "terminationGracePeriodSeconds",
)
_OF_VOLUMES = (
    *("capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode"),
    *("nodeAffinity", "volumeAttributesClassName"),
)
# Structs that Go embeds: the API does not show them, its complaints about types do.
_EMBEDDED: dict[str, tuple[str, frozenset[str]]] = {
    "Volume": ("VolumeSource.", frozenset({"name"})),
    "EphemeralContainer": ("EphemeralContainerCommon.", frozenset({"targetContainerName"})),
    "Probe": ("ProbeHandler.", frozenset(_PROBE_NUMBERS)),
    "PersistentVolumeSpec": ("PersistentVolumeSource.", frozenset(_OF_VOLUMES)),
}
_REFERENCES = frozenset(f"{what}{kind}" for what in ("ConfigMap", "Secret") for kind in ("EnvSource", "KeySelector", "Projection"))


def _embedded(model: str, key: str) -> str:
    """``VolumeSource.`` for what is a field of that; "" for the model's own."""
    if key == "name" and (model in _REFERENCES or model == "ConfigMapVolumeSource"):
        return "LocalObjectReference."
    struct, own = _EMBEDDED.get(model, ("", frozenset()))
    return "" if key in own else struct


def _bad_type(found: str, where: str, wanted: str) -> errors.BadRequest:
    return errors.BadRequest(f"json: cannot unmarshal {found} into Go struct field {where} of type {wanted}")


_GO_BASES = {
    "bytes": "[]uint8",
    "quantity": "resource.Quantity",
    "time": "v1.Time",
    "microtime": "v1.MicroTime",
    "intstr": "intstr.IntOrString",
}


def _go_type(kind: schema.Type) -> str:
    if kind.shape.startswith(schema.LIST):
        return "[]" + _go_type(kind.element)
    if kind.shape.startswith(schema.MAP):
        return kind.go_name if kind.base == "quantity" and kind.go_name else "map[string]" + _go_type(kind.element)
    if kind.base in schema.SCALARS:
        return kind.go_name or _GO_BASES.get(kind.base, kind.base)
    return f"v1.{kind.base.rpartition('.')[2]}"
