"""Read a TensorFlow checkpoint (a "tensor bundle") without TensorFlow.

A checkpoint ``PREFIX`` is two files. ``PREFIX.index`` is a LevelDB table: a sorted list of
variable names, each with a ``BundleEntryProto`` that says the variable's type, shape and place.
``PREFIX.data-00000-of-00001`` holds the values one after the other. The formats are those of
``tensor_bundle.proto`` in TensorFlow and ``table_format.md`` in LevelDB.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
BLOCK_TRAILER_BYTES = 5  # one byte of compression type, four of checksum
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC_TABLE = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """Return the Castagnoli checksum of `data`, masked as LevelDB stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the base-128 integer that starts at `at`, and where the next field starts."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _protobuf(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value) of a serialised protocol buffer."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
            case 2:
                size, at = _varint(data, at)
                yield key >> 3, data[at : at + size]
                at += size
            case 5:
                yield key >> 3, int.from_bytes(data[at : at + 4], "little")
                at += 4
            case wire:
                raise ValueError(f"protocol buffer wire type {wire} is not one a bundle uses")


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of one table block, whose keys share prefixes."""
    stored = index[offset : offset + size + BLOCK_TRAILER_BYTES]
    if len(stored) < size + BLOCK_TRAILER_BYTES:
        raise ValueError(f"block at byte {offset} ends past the end of the file")
    if masked_crc32c(stored[: size + 1]) != int.from_bytes(stored[size + 1 :], "little"):
        raise ValueError(f"block at byte {offset} does not match its checksum")
    if stored[size] != 0:
        raise ValueError(f"block at byte {offset} is compressed, which this reader does not undo")
    n_restarts = int.from_bytes(stored[size - 4 : size], "little")
    end, at, key = size - 4 * (n_restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(stored, at)
        unshared, at = _varint(stored, at)
        length, at = _varint(stored, at)
        key = key[:shared] + stored[at : at + unshared]
        at += unshared
        yield key, stored[at : at + length]
        at += length


def _entries(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of a whole table."""
    footer = index[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != MAGIC:
        raise ValueError("the file does not end as a LevelDB table does")
    _, at = _varint(footer, 0)  # the first two integers place a block of statistics
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, at = _varint(footer, at)
    for _, handle in _block(index, offset, size):
        start, at = _varint(handle, 0)
        yield from _block(index, start, _varint(handle, at)[0])


def _shape(message: bytes) -> tuple[int, ...]:
    dimensions = (dict(_protobuf(value)) for number, value in _protobuf(message) if number == 2)
    return tuple(d.get(1, 0) for d in dimensions)


def read(prefix: str | Path, *, skip: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read the variables of a TensorFlow checkpoint.

    Parameters
    ----------
    prefix : str or Path
        The checkpoint's path without ``.index`` and ``.data-00000-of-00001``.
    skip : tuple of str
        Variables whose name contains one of these are left out (an optimiser's, for example).

    Returns
    -------
    dict of str to ndarray
        Each variable under its name, in the order of the index (alphabetical).

    Raises
    ------
    FileNotFoundError
        If one of the two files is missing.
    ValueError
        If a file is truncated, corrupt, or uses a part of the format that this does not read.
    """
    index_path = Path(f"{prefix}.index")
    data_path = Path(f"{prefix}.data-00000-of-00001")
    data = data_path.read_bytes()
    variables = {}
    try:
        for key, value in _entries(index_path.read_bytes()):
            name, fields = key.decode(), dict(_protobuf(value))
            if not name:
                if fields.get(1, 1) != 1 or fields.get(2, 0) != 0:
                    raise ValueError("expected one little-endian shard of data")
            elif not any(part in name for part in skip):
                variables[name] = _tensor(name, fields, data)
    except IndexError:
        raise ValueError(f"{index_path}: a field ends past the end of its block") from None
    except ValueError as error:
        raise ValueError(f"{index_path}: {error}") from error
    return variables


def _tensor(name: str, fields: dict[int, Any], data: bytes) -> np.ndarray:
    """Cut one variable out of the data file, as its ``BundleEntryProto`` says."""
    if fields.get(1) not in DTYPES:
        raise ValueError(f"{name} is of TensorFlow type {fields.get(1)}; read are {list(DTYPES)}")
    dtype, shape = DTYPES[fields[1]], _shape(fields.get(2, b""))
    offset, size = fields.get(4, 0), fields.get(5, 0)
    stored = data[offset : offset + size]
    if len(stored) != size or size != int(np.prod(shape)) * dtype.itemsize:
        raise ValueError(
            f"{name} {shape} {dtype} needs {int(np.prod(shape)) * dtype.itemsize} bytes; "
            f"the index gives it {size} and the data file holds {len(stored)} of them"
        )
    if masked_crc32c(stored) != fields.get(6):
        raise ValueError(f"{name} does not match its checksum")
    return np.frombuffer(stored, dtype).reshape(shape)
