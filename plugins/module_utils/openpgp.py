"""Who an OpenPGP key belongs to, read without gpg: a bare host has none."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
BLOCK = re.compile(BEGIN + r"(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.S)
PUBLIC_KEY_TAG = 6


def dearmored(data: bytes) -> bytes:
    """Return the packets of a key file, armoured (text) or not. Raise ValueError where it is not a key file."""
    if data[:1] and data[0] & 0x80:  # every packet begins so, and no text does
        return data
    blocks = BLOCK.findall(data.decode("ascii", errors="replace").replace("\r\n", "\n"))
    if not blocks:
        raise ValueError("it is not an OpenPGP key")
    packets = b""
    for block in blocks:
        _unused, _unused, body = block.partition("\n\n")  # what is before the empty line are comments
        lines = (line.strip() for line in body.splitlines())
        text = "".join(line for line in lines if line and not line.startswith("="))  # the last line is a checksum
        try:
            packets += base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"its armour is damaged ({error})") from None
    return packets


def crc24(packets: bytes) -> int:
    """Return the checksum of armoured packets: RFC 4880, 6.1."""
    crc = 0xB704CE
    for byte in packets:
        crc ^= byte << 16
        for _unused in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF


def fingerprints(packets: bytes) -> list[str]:
    """Return the primary keys' fingerprints, 40 capital hexadecimal digits. Raise ValueError where `packets` are
    damaged, or are of a version other than 4.
    """
    found = []
    position = 0
    while position < len(packets):
        tag, start, end = _packet(packets, position)
        body = packets[start:end]
        if tag == PUBLIC_KEY_TAG:
            if body[:1] != b"\x04":
                raise ValueError("its version is not known")
            # RFC 4880, 12.2. The pin is made with SHA-1 because that is what a fingerprint of version 4 is.
            framed = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(framed, usedforsecurity=False).hexdigest().upper())
        position = end
    if not found:
        raise ValueError("there is no public key in it")
    return found


def _packet(data: bytes, position: int) -> tuple[int, int, int]:
    """Return the tag of the packet at `position`, and where its body begins and ends."""
    try:
        first, second = data[position], data[position + 1]
        if not first & 0x80:
            raise ValueError("it is damaged")
        if first & 0x40:
            tag, start, length = first & 0x3F, position + 2, second
            if 192 <= second < 224:
                start, length = position + 3, ((second - 192) << 8) + data[position + 2] + 192
            elif second == 255:
                start, length = position + 6, int.from_bytes(data[position + 2 : position + 6], "big")
            elif second >= 224:
                raise ValueError("a key has no packets of partial length")
        else:
            tag, size = (first >> 2) & 0x0F, {0: 1, 1: 2, 2: 4}.get(first & 3, 0)
            if not size:
                raise ValueError("a key has no packets of unknown length")
            start = position + 1 + size
            length = int.from_bytes(data[position + 1 : start], "big")
    except IndexError:
        raise ValueError("it is cut off") from None
    if start + length > len(data):
        raise ValueError("it is cut off")
    return tag, start, start + length
