"""Avatars of accounts, drawn here so that no picture has to be bundled."""

import hashlib
import struct
import zlib
from functools import lru_cache

SIZE = 132  # as WeChat's are


@lru_cache(maxsize=64)
def avatar(appid: str) -> bytes:
    """Return a PNG: a white tree on a colour that follows from the appid."""
    red, green, blue = (
        40 + byte % 110 for byte in hashlib.md5(appid.encode()).digest()[:3]
    )
    rows = bytearray()
    for y in range(SIZE):
        rows.append(0)
        for x in range(SIZE):
            shade = 1.15 - y / SIZE * 0.4
            colour = (red * shade, green * shade, blue * shade)
            rows += bytes((255,) * 3 if _in_tree(x, y) else map(int, colour))
    return _png(bytes(rows))


def _in_tree(x: int, y: int) -> bool:
    off = abs(x - SIZE // 2)
    if 100 <= y < 112:
        return off <= 5
    # Three tiers, each wider than the one above.
    return any(
        top <= y < top + 30 and off <= (y - top) * slope
        for top, slope in ((22, 0.6), (42, 0.9), (66, 1.1))
    )


def _png(rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")
