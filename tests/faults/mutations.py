"""Damage to files: seeded, so that a number gives the same file again."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HUGE = (2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
Mutation = Callable[[random.Random, bytes], bytes]


def flip_bits(choose: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(choose.choice((1, 1, 2, 8, 64))):
        changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    return bytes(changed)


def cut_end(choose: random.Random, content: bytes) -> bytes:
    return content[: choose.randrange(len(content))]


def cut_start(choose: random.Random, content: bytes) -> bytes:
    return content[choose.randrange(1, len(content)) :]


def _chunk(choose: random.Random, content: bytes) -> tuple[int, int]:
    start = choose.randrange(len(content))
    return start, min(len(content), start + choose.choice((1, 4, 16, 64, 1024)))


def repeat_chunk(choose: random.Random, content: bytes) -> bytes:
    start, end = _chunk(choose, content)
    return content[:end] + content[start:end] * choose.choice((1, 1, 2, 100)) + content[end:]


def drop_chunk(choose: random.Random, content: bytes) -> bytes:
    start, end = _chunk(choose, content)
    return content[:start] + content[end:]


def swap_chunks(choose: random.Random, content: bytes) -> bytes:
    a, b = sorted(choose.sample(range(len(content) + 1), 2))
    return content[a:b] + content[:a] + content[b:]


def blank_chunk(choose: random.Random, content: bytes) -> bytes:
    start, end = _chunk(choose, content)
    return content[:start] + choose.choice((b"\0", b"\xff", b" ")) * (end - start) + content[end:]


def set_number(choose: random.Random, content: bytes) -> bytes:
    """Put an extreme number where the file may have a size or count, mostly near its ends."""
    size = choose.choice((1, 2, 4, 8))
    limit = max(len(content) - size, 1)
    at = choose.choice(
        (choose.randrange(min(64, limit)), limit - 1 - choose.randrange(min(64, limit)))
        if choose.random() < 0.7
        else (choose.randrange(limit),)
    )
    value = choose.choice((*EXTREMES, *HUGE)) & ((1 << 8 * size) - 1)
    order = choose.choice(("big", "little"))
    return content[:at] + value.to_bytes(size, order) + content[at + size :]  # type: ignore[arg-type]


def insert_noise(choose: random.Random, content: bytes) -> bytes:
    at = choose.randrange(len(content) + 1)
    return content[:at] + choose.randbytes(choose.choice((1, 3, 100, 5_000))) + content[at:]


def append(choose: random.Random, content: bytes) -> bytes:
    return content + choose.choice((b"\0", b"\n", b"{}", content, choose.randbytes(100)))


def empty(choose: random.Random, content: bytes) -> bytes:
    return choose.choice((b"", b"\0", b"\n", b"PK\x03\x04", b"\x1f\x8b", content[:8]))


BYTES: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, cut_end, cut_start, repeat_chunk, drop_chunk, swap_chunks),
    *(blank_chunk, set_number, set_number, insert_noise, append, empty),
)


def damage(choose: random.Random, content: bytes) -> bytes:
    """Damage bytes once, without regard to their format."""
    return choose.choice(BYTES)(choose, content if len(content) > 1 else content + b"\0\0")


def mutate(choose: random.Random, content: bytes, special: tuple[Mutation, ...] = ()) -> bytes:
    """Damage a file once or twice, in half of the cases as its format allows."""
    for _ in range(choose.choice((1, 1, 2))):
        known = special and choose.random() < 0.5
        content = (choose.choice(special) if known else damage)(choose, content)
    return content


# --- gzip and IDX


def repack_gzip(choose: random.Random, content: bytes) -> bytes:
    """Damage what a gzip file holds, and pack it again."""
    try:
        raw = gzip.decompress(content)
    except Exception:
        return content
    return gzip.compress(damage(choose, raw), mtime=0)


def gzip_bomb(choose: random.Random, content: bytes) -> bytes:
    megabyte = gzip.compress(bytes(1 << 20), mtime=0)
    return content[: choose.choice((0, len(content)))] + megabyte * choose.choice((1, 100, 3_000))


def idx_header(choose: random.Random, content: bytes) -> bytes:
    rank = choose.choice((0, 1, 2, 3, 4, 8, 9, 255))
    code = choose.choice((0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, 0xFF))
    shape = [choose.choice((0, 1, 28, *EXTREMES)) for _ in range(rank)]
    raw = bytes([0, 0, code, rank]) + b"".join(struct.pack(">I", n) for n in shape) + content[16:]
    return gzip.compress(raw, mtime=0) if content[:2] == b"\x1f\x8b" else raw


# --- zip


def _entries(content: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except Exception:
        return []


def pack(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, value in entries:
            archive.writestr(zipfile.ZipInfo(name), value, method)
    return file.getvalue()


def repack_zip(choose: random.Random, content: bytes) -> bytes:
    """Damage one entry of a zip archive, and pack it again with right checksums."""
    entries = _entries(content)
    if not entries:
        return content
    at = choose.randrange(len(entries))
    name, value = entries[at]
    entries[at] = (name, damage(choose, value))
    return pack(entries)


def rearrange_zip(choose: random.Random, content: bytes) -> bytes:
    """Repeat, drop, rename or exchange entries of a zip archive."""
    entries = _entries(content)
    if not entries:
        return content
    at = choose.randrange(len(entries))
    name, value = entries[at]
    what = choose.randrange(5)
    if what == 0:
        entries.append((name, value))
    elif what == 1:
        del entries[at]
    elif what == 2:
        entries[at] = (choose.choice(("../up", "/root", name.upper(), "", "a" * 5_000)), value)
    elif what == 3:
        other = choose.randrange(len(entries))
        entries[at] = (name, entries[other][1])
    else:
        entries[at] = (name, bytes(choose.choice((0, 1, 1 << 24))))
    return pack(entries, choose.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def zip_sizes(choose: random.Random, content: bytes) -> bytes:
    """Put extreme sizes, offsets or methods into the headers of a zip archive."""
    changed = bytearray(content)
    for signature, fields in (
        (b"PK\x01\x02", (8, 10, 16, 20, 24, 28, 30, 42)),
        (b"PK\x03\x04", (6, 8, 14, 18, 22, 26, 28)),
        (b"PK\x05\x06", (8, 10, 12, 16, 20)),
    ):
        at = changed.find(signature)
        while at >= 0:
            if choose.random() < 0.4:
                field = at + choose.choice(fields)
                changed[field : field + 2] = struct.pack("<H", choose.choice(EXTREMES) & 0xFFFF)
            at = changed.find(signature, at + 4)
    return bytes(changed)


def zip_bomb(choose: random.Random, content: bytes) -> bytes:
    entries = _entries(content)
    at = choose.randrange(len(entries)) if entries else 0
    name, value = entries[at] if entries else ("x", b"")
    big = value[:128] + bytes(choose.choice((1 << 22, 1 << 26)))
    return pack([*entries[:at], (name, big), *entries[at + 1 :]], zipfile.ZIP_DEFLATED)


def npy_header(choose: random.Random, content: bytes) -> bytes:
    """Change what the header of an array in an .npz announces."""
    entries = _entries(content)
    if not entries:
        return content
    at = choose.randrange(len(entries))
    kinds = ("|u1", "<f4", "|O", "<U9", "<U100000", "|S3", "<M8[s]", "<c16", ">i8", "|V9", "zz")
    counts = (0, 1, 28, 2**31, 2**62, -1, 10**30)
    shape = tuple(choose.choice(counts) for _ in range(choose.randrange(6)))
    header = {"descr": choose.choice(kinds), "fortran_order": choose.random() < 0.3, "shape": shape}
    text = choose.choice((repr(header), "{" * 2_000, "[" * 5_000 + "]" * 5_000, "__import__('os')"))
    raw = text.encode() + b"\n"
    made = b"\x93NUMPY\x01\0" + struct.pack("<H", len(raw) & 0xFFFF) + raw + entries[at][1][128:]
    entries[at] = (entries[at][0], made)
    return pack(entries)


# --- PNG


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def pack_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    made = b"\x89PNG\r\n\x1a\n"
    for kind, value in chunks:
        made += struct.pack(">I", len(value)) + kind + value
        made += struct.pack(">I", zlib.crc32(kind + value))
    return made


def repack_png(choose: random.Random, content: bytes) -> bytes:
    """Damage one chunk of a PNG, with right checksums."""
    chunks = png_chunks(content)
    if not chunks:
        return content
    at = choose.randrange(len(chunks))
    kind, value = chunks[at]
    chunks[at] = (kind, damage(choose, value))
    return pack_png(chunks)


def png_header(choose: random.Random, content: bytes) -> bytes:
    sides = (0, 1, 28, 65_535, 100_000, 2**31 - 1)
    header = struct.pack(
        ">IIBBBBB",
        choose.choice(sides),
        choose.choice(sides),
        choose.choice((1, 2, 4, 8, 16, 3)),
        choose.choice((0, 2, 3, 4, 6, 7)),
        *(choose.choice((0, 0, 0, 1)) for _ in range(3)),
    )
    return pack_png([(b"IHDR", header), *png_chunks(content)[1:]])


def png_extra(choose: random.Random, content: bytes) -> bytes:
    """Add a chunk that unpacks to much, or that other programs act on."""
    chunks = png_chunks(content)
    packed = zlib.compress(bytes(choose.choice((10, 1 << 24))))
    extra = choose.choice(
        (
            (b"zTXt", b"key\0\0" + packed),
            (b"iTXt", b"key\0\x01\0\0\0" + packed),
            (b"iCCP", b"profile\0\0" + packed),
            (b"eXIf", choose.randbytes(40)),
            (b"IDAT", packed),
            (b"acTL", struct.pack(">II", choose.choice(EXTREMES), 0)),
            (b"tRNS", choose.randbytes(6)),
            (b"PLTE", choose.randbytes(choose.choice((3, 7, 768, 900)))),
            (b"tEXt", b"%!PS-Adobe\0" + b"x" * 100),
        )
    )
    chunks.insert(choose.randrange(len(chunks) + 1), extra)
    return pack_png(chunks)


# --- JSON, TOML and safetensors

STRANGE = (
    *(None, True, -1, 0, 10**400, 2**63, 1e308, -0.0, "", "\x1b[31m", "\u202e", "x" * 100_000),
    *([], {}, [[]] * 100, {"": None}, "NaN", "../../etc/passwd", "\ud800"),
)


def edit_json(choose: random.Random, content: bytes) -> bytes:
    """Replace, remove, repeat or rename one value of a JSON document."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    left: list[object] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            keys = value.keys() if isinstance(value, dict) else range(len(value))
            places += [(value, key) for key in keys]
            left += value.values() if isinstance(value, dict) else value
    if places:
        parent, key = choose.choice(places)
        what = choose.randrange(4)
        if what == 0:
            del parent[key]  # type: ignore[arg-type]
        elif what == 1 and isinstance(parent, dict):
            parent[f"{key}x"] = parent.pop(str(key))
        else:
            parent[key] = choose.choice(STRANGE)  # type: ignore[index, assignment]
    return json.dumps(document).encode()


def edit_json_line(choose: random.Random, content: bytes) -> bytes:
    """Edit one line of a file with a JSON document on each."""
    lines = content.split(b"\n")
    at = choose.randrange(len(lines))
    lines[at] = edit_json(choose, lines[at])
    return b"\n".join(lines)


def json_tricks(choose: random.Random, content: bytes) -> bytes:
    depth = choose.choice((100, 5_000, 200_000))
    return choose.choice(
        (
            b"[" * depth,
            b"[" * depth + b"]" * depth,
            b'{"a":' * depth + b"1" + b"}" * depth,
            content.replace(b"0", b"NaN", 1),
            content.replace(b"1", b"1e999", 1),
            content.replace(b"2", b"2" * 10_000, 1),
            content[:-1] + b',"schema": 1}',
            b"\xef\xbb\xbf" + content,
            content.decode("utf-8", "replace").encode("utf-16"),
            b"\xff" + content,
            b'"' + b"\\ud800" * 10 + b'"',
            b"null",
            b"3",
            content + content,
        )
    )


_TOML_KEY = re.compile(r"^\s*([\w.]+)\s*=", re.MULTILINE)
_TABLES = ("rung", "arm", "vary", "vary.augment", "grade", "messages", "settings", "budget")


def edit_toml(choose: random.Random, content: bytes) -> bytes:
    """Put a line into a TOML file, or in the place of one, often with a key that the file has."""
    text = content.decode("utf-8", "replace")
    lines = text.splitlines()
    at = choose.randrange(len(lines) + 1)
    values = (
        "inf",
        "nan",
        "-1",
        "9" * 400,
        "''",
        "[]",
        "{}",
        "1979-05-27",
        "true",
        "0x10",
        "1e999",
    )
    keys = ("name", "experiment", "seeds", "set", "recipe", "budget", "claim", "title", "target")
    keys += tuple(sorted(set(_TOML_KEY.findall(text))))
    line = choose.choice(
        (
            f"{choose.choice(keys)} = {choose.choice(values)}",
            f'{choose.choice(keys)} = "{choose.choice(("../up", "con", "a" * 5_000, "x.py:Y"))}"',
            f"set = {{ {choose.choice(('epochs', 'batch_size', 'augment', 'x'))} = "
            f"{choose.choice(values)} }}",
            f"[[{choose.choice(_TABLES)}]]",
            f"[{choose.choice(_TABLES)}]",
            "a" + ".a" * choose.choice((10, 900, 20_000)) + " = 1",
            "x = " + "[" * choose.choice((10, 500, 50_000)),
            "x = " + "{a=" * 2_000,
            "\x00",
            "x = '''" + "y" * 100_000,
        )
    )
    if at < len(lines) and choose.random() < 0.6:
        lines[at] = line
    else:
        lines.insert(at, line)
    return "\n".join(lines).encode()


def safetensors_header(choose: random.Random, content: bytes) -> bytes:
    """Damage the JSON header of a safetensors file and make its length right again."""
    size = int.from_bytes(content[:8], "little")
    header, rest = content[8 : 8 + size], content[8 + size :]
    header = choose.choice((edit_json, edit_json, json_tricks, safetensors_entry))(choose, header)
    return len(header).to_bytes(8, "little") + header + rest


def safetensors_entry(choose: random.Random, header: bytes) -> bytes:
    try:
        entries = json.loads(header)
        name = choose.choice(list(entries))
        entry = entries[name]
        entry["dtype"] = choose.choice(("F32", "F64", "I64", "BOOL", "BF16", "F8_E4M3", "X"))
        entry["shape"] = [choose.choice((0, 1, 2**31, 2**40, -1)) for _ in range(3)]
        entry["data_offsets"] = [choose.choice((0, 4, 2**40)), choose.choice((0, 4, 2**62))]
    except (ValueError, KeyError, TypeError, RecursionError, IndexError):
        return header
    return json.dumps(entries).encode()
