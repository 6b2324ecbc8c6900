#!/usr/bin/env python3
"""Checks a proof of `lockstep prove` without lockstep: verify_proof.py PUBLIC_KEY PROOF.json

It needs Python's standard library alone. Exit code 0: the entry stood at its place in the stream that the notary
with this public key saw as committed; its content is printed. 1: the proof proves nothing, and why.

The formats: docs/SECURITY.md, "Signatures". The tree: RFC 9162, section 2.1. The signature: RFC 8032, section 5.1.7.
"""

import hashlib
import json
import struct
import sys

CONTEXT = b"lockstep attestation\n"
FRAME, HEADER_LEN, ENTRY_HEADER_LEN = 1, 104, 24
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


class Wrong(Exception):
    pass


def add(a, b):
    """Two points of the curve, in extended coordinates (RFC 8032, 5.1.4)."""
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def point(data):
    """A point from its 32 bytes (RFC 8032, 5.1.3)."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        raise Wrong("an invalid point")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        raise Wrong("an invalid point")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(key, message, signature):
    r, s = point(signature[:32]), int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    a, b = times(s, BASE), add(r, times(k, point(key)))
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root_by_path(leaf, index, count, path):
    """RFC 9162, 2.1.3.2."""
    if index >= count:
        raise Wrong("the frame is not one that was signed")
    own, last, root = index, count - 1, leaf
    for other in path:
        if last == 0:
            raise Wrong("the path is too long")
        if own & 1 or own == last:
            root = sha256(b"\1", other, root)
            while not own & 1 and own:
                own, last = own >> 1, last >> 1
        else:
            root = sha256(b"\1", root, other)
        own, last = own >> 1, last >> 1
    if last:
        raise Wrong("the path is too short")
    return root


def verify(key, proof):
    if proof["schema"] != "lockstep.proof/1":
        raise Wrong("another version")
    signed = bytes.fromhex(proof["attestation"])
    if len(signed) != 160:
        raise Wrong("no attestation")
    body, signature = signed[:96], signed[96:]
    history, first_seq, next_seq, frames, version = struct.unpack_from("<QQQII", body)
    if version != 1 or body[64:96] != key or not is_signed(key, CONTEXT + body, signature):
        raise Wrong("this notary has not signed it")
    frame = bytes.fromhex(proof["frame"])
    path = [bytes.fromhex(other) for other in proof["path"]]
    if root_by_path(sha256(b"\0", frame), proof["index"], frames, path) != body[32:64]:
        raise Wrong("its frame is not one that was signed")
    magic, _, kind = struct.unpack_from("<IBB", frame)
    count, = struct.unpack_from("<H", frame, 28)
    first, = struct.unpack_from("<Q", frame, 64)
    timestamp, = struct.unpack_from("<Q", frame, 80)
    if kind != FRAME or not first_seq <= first <= proof["seq"] < min(first + count, next_seq):
        raise Wrong("its frame does not contain the entry")
    at = HEADER_LEN
    for _ in range(proof["seq"] - first):
        at += ENTRY_HEADER_LEN + (struct.unpack_from("<H", frame, at + 2)[0] + 7 & ~7)
    kind, _, length, publisher, number, destination, time = struct.unpack_from("<BBHIQII", frame, at)
    payload = frame[at + ENTRY_HEADER_LEN : at + ENTRY_HEADER_LEN + length]
    print(
        f"seq {proof['seq']} of history {history:016x}: entry of kind {kind}, number {number} of publisher {publisher} "
        f"to {destination}, stamped {timestamp + time} ns after 1970, {length} bytes: {payload!r}"
    )


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        with open(sys.argv[2]) as file:
            verify(bytes.fromhex(sys.argv[1]), json.load(file))
    except (Wrong, KeyError, TypeError, ValueError, struct.error) as error:
        sys.exit(f"it proves nothing: {error}")


if __name__ == "__main__":
    main()
