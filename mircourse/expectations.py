"""What a property of an exercise expects of an answer, and how a failure is put into words.

`mircourse.check` tells how these are used.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

_SHOWN = 12  # arrays up to this size are shown entry by entry


class Mismatch(Exception):
    """What came back is not what was expected; holds lines for the report."""


class Raised(Exception):
    """The reader's function raised; the cause is the exception."""


class NotAttempted(Exception):
    """The reader's function raised NotImplementedError."""


def expect(got: Any, expected: Any, *, rtol: float = 1e-5, atol: float = 1e-8) -> None:
    """Fail the property unless what the answer returned is what was expected.

    Numbers, arrays, tensors and nested lists of numbers are compared by shape and, entry by entry,
    to a tolerance (NaN equals NaN); anything else by ``==``.

    Parameters
    ----------
    got, expected
        What came back, and what should have.
    rtol, atol : float
        As for ``numpy.allclose``.
    """
    wanted, came = _as_array(expected), _as_array(got)
    if wanted is None or came is None:
        # Comparing an array with something else gives an array, or a warning.
        if wanted is not came or got != expected:
            hint = " (does your function return its result?)" if got is None else ""
            raise Mismatch(f"expected: {describe(expected)}", f"got:      {describe(got)}{hint}")
        return
    if wanted.shape != came.shape:
        raise Mismatch(f"expected: {describe(expected)}", f"got:      {describe(got)}")
    wrong = ~np.isclose(came, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return
    lines = [f"expected: {describe(expected)}", f"got:      {describe(got)}"]
    if wanted.size > _SHOWN:
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = ", ".join(map(str, at))
        lines.append(
            f"first difference at [{where}]: expected {wanted[at]:.6g}, got {came[at]:.6g}; "
            f"{wrong.sum()} of {wrong.size} entries differ"
        )
    raise Mismatch(*lines)


def expect_raises(
    error: type[Exception], answer: Callable[..., Any], *args: Any, **kw: Any
) -> None:
    """Fail the property unless calling the answer raises this error.

    Parameters
    ----------
    error : type
        The class expected; a subclass will do.
    answer : callable
        What the property received.
    *args, **kw
        The input.
    """
    wanted = f"expected: {error.__name__}"
    try:
        result = answer(*args, **kw)
    except Raised as raised:
        if not isinstance(raised.__cause__, error):
            raise Mismatch(wanted, f"got:      {error_line(raised.__cause__)}") from raised
    else:
        raise Mismatch(wanted, f"got:      {describe(result)}")


def describe(value: Any) -> str:
    """Return a value in a line: small arrays in full, large ones by shape, type and range."""
    if type(value).__module__.partition(".")[0] in ("numpy", "torch") and hasattr(value, "shape"):
        array = _as_array(value)
        kind = "tensor" if type(value).__module__.startswith("torch") else "array"
        if array is None or not array.shape:
            return repr(value.item()) if value.shape == () else repr(value)
        if array.size <= _SHOWN:
            shown = array if array.dtype.kind == "b" else array.round(6)
            return f"{kind} {shown.tolist()}"
        span = f", from {array.min():.6g} to {array.max():.6g}"
        return f"{kind} of shape {array.shape}, {value.dtype}{span}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _as_array(value: Any) -> np.ndarray | None:
    """Return numbers as an array, anything else as None."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
    try:
        array = np.asarray(value)
    except ValueError:  # ragged lists
        return None
    return array if array.dtype.kind in "biufc" else None


def error_line(error: BaseException | None, answer: Callable[..., Any] | None = None) -> str:
    """Return an error in a line, with the last line of the reader's code that led to it."""
    assert error is not None
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file and f.line]
    return f"{text}, at your line: {own[-1].line}" if own else text
