"""Functions of one number that LLVM turns into vector code: no calls, no branches, float32 accuracy but for one."""

import math
from typing import Any

import numba
import numpy as np

FAST = {"contract", "reassoc", "arcp", "nsz"}
"""Liberties of the compiler with arithmetic; not-a-number and infinities stay what they are."""
OPTIONS: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy", "boundscheck": False, "_nrt": False}
"""How the engine's functions are compiled. They allocate nothing, so references to arrays need not be counted:
`_nrt` spares two locked instructions for every slice.
"""
PRECISE: dict[str, Any] = {**OPTIONS, "fastmath": {"contract", "nsz"}}
"""The same where sums must be taken in the order in which they are written: (x - y) + z is not x + (z - y)."""

_f = np.float32
# tanh as a ratio of polynomials; float32 cannot tell it from ±1 beyond the edge. Coefficients: Eigen's for float32.
_EDGE = _f(7.90531110763549805)
_LOW_EDGE = -_EDGE
_P1, _P3, _P5, _P7 = (
    _f(v) for v in (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
)
_P9, _P11, _P13 = (_f(v) for v in (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
_Q0, _Q2, _Q4, _Q6 = (
    _f(v) for v in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)
# exp: 2 to the whole part of x / ln 2, times a Taylor polynomial of what is left.
_LOG2_E, _LN2_HIGH, _LN2_LOW = _f(1.4426950408889634), _f(0.693145751953125), _f(1.4286068203094172e-06)
_E2, _E3, _E4, _E5, _E6, _E7 = (_f(v) for v in (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040))
_HALF, _ONE = _f(0.5), _f(1)
_LEAST, _MOST = _f(-87), _f(88)
_BIAS, _MANTISSA = _f(127), _f(2**23)  # of a float32's exponent; steps of it
# The same for float64, whose whole part is read off the low bits of a sum with a number so large that it rounds.
_FINE_LN2_HIGH, _FINE_LN2_LOW, _ROUNDER = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.5 * 2.0**52
_FINE_LOG2_E, _FINE_LEAST = 1.4426950408889634, -708.0
_F2, _F3, _F4, _F5, _F6, _F7, _F8, _F9, _F10, _F11, _F12, _F13 = (1 / math.factorial(n) for n in range(2, 14))


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def _above(x, q):
    """The numerator of tanh(x), q being the square of x."""
    return x * (_P1 + q * (_P3 + q * (_P5 + q * (_P7 + q * (_P9 + q * (_P11 + q * _P13))))))


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def _below(q):
    """The denominator of tanh(x), q being the square of x."""
    return _Q0 + q * (_Q2 + q * (_Q4 + q * _Q6))


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def tanh(x):
    """tanh(x), to 5e-7."""
    x = min(max(x, _LOW_EDGE), _EDGE)
    q = x * x
    return _above(x, q) / _below(q)


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def sigmoid(x):
    """1 / (1 + exp(-x)), to 3e-7."""
    return _HALF + _HALF * tanh(_HALF * x)


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def gate(x, y):
    """tanh(x) · sigmoid(y), to 1e-6, with a single division."""
    x, y = min(max(x, _LOW_EDGE), _EDGE), min(max(_HALF * y, _LOW_EDGE), _EDGE)
    q, r = x * x, y * y
    below = _below(r)
    return _above(x, q) * (_HALF * (below + _above(y, r))) / (_below(q) * below)


@numba.njit(inline="always", fastmath=FAST, error_model="numpy")
def gate_slopes(x, y):
    """The derivatives of `gate` by x and by y, to 2e-6, with a single division."""
    x, y = min(max(x, _LOW_EDGE), _EDGE), min(max(_HALF * y, _LOW_EDGE), _EDGE)
    q, r = x * x, y * y
    below, other = _below(q), _below(r)
    share = _ONE / (below * other)
    signal = _above(x, q) * other * share
    opened = _HALF + _HALF * (_above(y, r) * below * share)
    return opened * (_ONE - signal * signal), signal * opened * (_ONE - opened)


@numba.njit(forceinline=True, fastmath={"contract", "nsz"})
def exp(x):
    """exp(x) to 2e-7 of itself, for x between -87 and 88; beyond, that of the nearer edge."""
    x = min(max(x, _LEAST), _MOST)
    whole = np.floor(x * _LOG2_E + _HALF)
    r = x - whole * _LN2_HIGH - whole * _LN2_LOW
    part = _ONE + r * (_ONE + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * (_E6 + r * _E7))))))
    return part * np.int32((whole + _BIAS) * _MANTISSA).view(np.float32)  # 2 to the whole, by its bits


@numba.njit(forceinline=True, fastmath={"contract", "nsz"})
def fine_exp(x):
    """exp(x) of a float64, to 3e-16 of itself, for x up to 700; 0 below -708."""
    near = max(x, _FINE_LEAST)
    rounded = near * _FINE_LOG2_E + _ROUNDER
    whole = rounded - _ROUNDER
    r = near - whole * _FINE_LN2_HIGH - whole * _FINE_LN2_LOW
    tail = _F7 + r * (_F8 + r * (_F9 + r * (_F10 + r * (_F11 + r * (_F12 + r * _F13)))))
    part = 1.0 + (r + r * r * (_F2 + r * (_F3 + r * (_F4 + r * (_F5 + r * (_F6 + r * tail))))))
    power = np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)
    return part * power if x >= _FINE_LEAST else 0.0
