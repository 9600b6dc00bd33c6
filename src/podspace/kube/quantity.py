"""Kubernetes quantities: "500m", "1.5Gi", "1e3". Parsed exactly, printed as the API server prints them.

Called by decoding (every quantity is re-serialised), validation, QoS and by ``node`` for cgroup limits. Pure.
Source: apimachinery pkg/api/resource; precision finer than a billionth is rounded up.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

NOT_A_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
BAD_SUFFIX = "unable to parse quantity's suffix"
BILLION = 10**9
_LARGEST = (2**63 - 1) * BILLION
_SHAPE = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*(?:[+-]?\d*))", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{power: suffix for suffix, power in _BINARY.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """An exact amount in billionths, and the family of suffixes it prints in."""

    nanos: int
    family: str = "decimal"  # or "binary", "exponent"

    @property
    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _divide_away(self.nanos, BILLION)

    @property
    def milli_value(self) -> int:
        """Thousandths, rounded up (away from zero)."""
        return _divide_away(self.nanos, 10**6)

    @property
    def is_whole(self) -> bool:
        return self.nanos % BILLION == 0

    def rounded_to_milli(self) -> Quantity:
        """Nothing finer than a thousandth is kept of a resource."""
        return Quantity(nanos=self.milli_value * 10**6, family=self.family)

    def canonical(self) -> str:
        """The only spelling the API server answers with."""
        if self.family == "binary" and self.is_whole and abs(self.nanos) >= 1024 * BILLION:
            return _scaled(self.nanos // BILLION, 1024, 0, _BINARY_SUFFIX, 1)
        if self.family == "exponent":
            text, power = _strip(self.nanos)
            return f"{text}e{power}" if power else text
        return _scaled(self.nanos, 1000, -9, _DECIMAL_SUFFIX, 3)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """Raises ValueError with the API server's sentence."""
    shape = _SHAPE.fullmatch(text)
    if not text or shape is None:
        raise ValueError(NOT_A_QUANTITY)
    sign, whole, fraction, suffix = shape[1], shape[2] or "0", shape[3] or "", shape[4]
    scale, family = _scale(suffix)
    exact = Fraction(int(whole + fraction), 10 ** len(fraction)) * scale * BILLION
    nanos = min(-(-exact.numerator // exact.denominator), _LARGEST)
    return Quantity(nanos=-nanos if sign == "-" else nanos, family=family)


@functools.lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """``parse(text).canonical()``, remembered. Raises ValueError."""
    return parse(text).canonical()


def _scale(suffix: str) -> tuple[Fraction, str]:
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix], "decimal"
    if suffix in _BINARY:
        return Fraction(1024 ** _BINARY[suffix]), "binary"
    if suffix[0] in "eE" and re.fullmatch(r"[+-]?\d+", suffix[1:], re.ASCII) and abs(int(suffix[1:])) < 400:
        return Fraction(10) ** int(suffix[1:]), "exponent"
    raise ValueError(BAD_SUFFIX)


def _divide_away(number: int, divisor: int) -> int:
    return -(-number // divisor) if number >= 0 else number // divisor


def _strip(nanos: int) -> tuple[str, int]:
    power = -9
    while nanos and nanos % 1000 == 0 and power < 18:
        nanos, power = nanos // 1000, power + 3
    return (str(nanos), power) if nanos else ("0", 0)


def _scaled(number: int, base: int, power: int, suffixes: dict[int, str], step: int) -> str:
    if not number:
        return "0"
    while number % base == 0 and power + step in suffixes:
        number, power = number // base, power + step
    return f"{number}{suffixes[power]}"
