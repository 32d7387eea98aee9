"""Write npz archives whose bytes depend on nothing but their contents.

``numpy.savez_compressed`` stamps the time of writing into the zip; here the time is fixed, the
members are in the order given and permissions are constant. The compressed bytes still depend on
the zlib in use, so a comparison across machines compares the members (see `members`).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(
        stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
    )
    return stream.getvalue()


def json_array(value: Any) -> np.ndarray:
    """Return JSON text as an array of bytes, so that it can travel inside an npz archive."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, npy_bytes(array), compresslevel=9)
    return stream.getvalue()


def members(archive: bytes | Path) -> dict[str, bytes]:
    """Return the uncompressed bytes of each member of an archive."""
    source = io.BytesIO(archive) if isinstance(archive, bytes) else archive
    with zipfile.ZipFile(source) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
