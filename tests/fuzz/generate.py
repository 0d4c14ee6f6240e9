"""Specs, npz and idx files as a stranger may send them: pure functions of a seed, so that a failure can be had again.

Half of what a seed gives is nearly right, because that comes further than noise does.
"""

from __future__ import annotations

import gzip
import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tomli
import tomli_w

from tests.fuzz.bases import bases

SIDES = (4, 4, 3)
"""Of the images in the npz files."""
IDX_SHAPE = (6, 4, 4)
"""Of the array in the idx files."""


# ------------------------------------------------------------------------------------------------------------------ specs
def mutated_spec(seed: int) -> bytes:
    """The bytes of a spec file: one of the real ones, harmed in one to four places."""
    chance = random.Random(f"spec {seed}")
    text = chance.choice(bases())
    gentle = chance.random() < 0.5
    for _ in range(chance.choice((0, 1, 1, 2) if gentle else (1, 1, 2, 2, 3, 4))):
        harm = _other_number if gentle else chance.choice(HARMS)
        text = harm(text, chance)
    content = text.encode("utf-8", "surrogatepass")
    for _ in range(0 if gentle else chance.choice((0, 0, 0, 1, 1, 3))):
        content = _bytes_harmed(content, chance)
    return content


def _deep(chance: random.Random) -> str:
    depth = chance.choice((5, 31, 32, 33, 100, 5000))
    opening, closing = chance.choice((("[", "]"), ("{a=", "}"), ("[{a=", "}]")))
    return opening * depth + "1" + closing * (depth - chance.choice((0, 0, 1)))


def _wide(chance: random.Random) -> str:
    count = chance.choice((100, 3000, 60_000, 120_000))
    item = chance.choice(("0", "1.5", '"x"', "{}", "[]", "true"))
    if chance.random() < 0.3:
        return "{" + ",".join(f"k{number}={item}" for number in range(min(count, 20_000))) + "}"
    return "[" + ",".join(item for _ in range(count)) + "]"


def _number(chance: random.Random) -> str:
    return chance.choice(
        (
            *("0", "-1", "1", "2", "3", "7", "17", "1000", "100000", "1000001", "9007199254740993", "9223372036854775807"),
            *(
                "9223372036854775808",
                "-9223372036854775808",
                "1" + "0" * 40,
                "1" + "0" * 5000,
                "0x7fffffffffffffff",
                "0b1",
                "1_000",
            ),
            *(
                "0.0",
                "-0.0",
                "1e-300",
                "5e-324",
                "1e-9",
                "0.5",
                "0.9999999999999999",
                "1.0",
                "1e6",
                "1e15",
                "1e300",
                "1e308",
                "1e999",
            ),
            *("inf", "-inf", "nan", "1.0000000001", "99.99999999999"),
        )
    )


def _text(chance: random.Random) -> str:
    return chance.choice(
        (
            *('""', '"x"', '"inf"', '"0.5"', '"/etc/passwd"', '"../../x"', '"cpu"', '"cuda:99999999999999999999"', '"file:///x"'),
            *(
                '"__import__(\\"os\\")"',
                '"torch.nn:Linear"',
                '"\\u0000"',
                '"é\\n"',
                '"' + "a" * 300 + '"',
                '"' + "a" * 200_000 + '"',
            ),
            *(
                "'''x\ny'''",
                '"pspin"',
                '"mlp"',
                '"sgd"',
                '"langevin"',
                '"energy"',
                '"test"',
                '"a1"',
                '"teacher_student"',
                '"sample"',
            ),
        )
    )


def _value(chance: random.Random) -> str:
    """A value in the notation of TOML, or something near it."""
    other = (
        "true",
        "false",
        "[]",
        "{}",
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        "[0, 1, 1]",
        "[0.5, 0.25]",
        "[nan]",
        "yes",
    )
    makers: tuple[Callable[[random.Random], str], ...] = (
        *(_number,) * 8,
        *(_text,) * 4,
        *(lambda chance: chance.choice(other),) * 3,
        lambda chance: "{ " + f"from = {_number(chance)}, to = {_number(chance)}, n = {_number(chance)}" + " }",
        lambda chance: "{ " + f"from = {_number(chance)}, per_decade = {_number(chance)}" + " }",
        lambda chance: f"[{_number(chance)}, {_number(chance)}]",
        *((_deep, _wide) if chance.random() < 0.2 else ()),
    )
    return chance.choice(makers)(chance)


def _lines(text: str) -> list[str]:
    return text.split("\n")


def _other_value(text: str, chance: random.Random) -> str:
    """One line's value replaced."""
    lines = _lines(text)
    places = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    if places:
        number = chance.choice(places)
        lines[number] = f"{lines[number].partition('=')[0]}= {_value(chance)}"
    return "\n".join(lines)


def _other_number(text: str, chance: random.Random) -> str:
    """One number replaced by another of its kind, often a possible one."""
    found = list(re.finditer(r"(?<![\w.\"'#-])\d+(\.\d+)?(?![\w.\"'])", text))
    if not found:
        return text
    match = chance.choice(found)
    whole = ("0", "1", "2", "3", "5", "8", "13", "30", "100", "1000", "20000", "1000000", "100000000", "4611686018427387904")
    decimal = ("0.0", "1e-9", "0.01", "0.1", "0.3", "0.5", "0.99", "1.0", "1.5", "2.0", "10.0", "99.5", "1e5", "1e12", "1e200")
    return text[: match.start()] + chance.choice(decimal if match.group(1) else whole) + text[match.end() :]


def _swapped(text: str, chance: random.Random) -> str:
    """The values of two lines exchanged."""
    lines = _lines(text)
    places = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    if len(places) > 1:
        one, two = chance.sample(places, 2)
        (a, _, x), (b, _, y) = lines[one].partition("="), lines[two].partition("=")
        lines[one], lines[two] = f"{a}={y}", f"{b}={x}"
    return "\n".join(lines)


def _other_line(text: str, chance: random.Random) -> str:
    """A line lost, doubled, moved, or misspelt."""
    lines = _lines(text)
    number = chance.randrange(len(lines))
    harm = chance.randrange(5)
    if harm == 0:
        del lines[number]
    elif harm == 1:
        lines.insert(chance.randrange(len(lines)), lines[number])
    elif harm == 2:
        lines.insert(chance.randrange(len(lines)), lines.pop(number))
    elif lines[number]:
        at = chance.randrange(len(lines[number]))
        put = chance.choice(
            ("", "_", ".", "'", '"', "[", "]", "{", "}", "=", "#", ",", "x", " ", "\\", "-", "é", "\ud800", "\x00")
        )
        lines[number] = lines[number][:at] + put + lines[number][at + chance.choice((0, 1)) :]
    return "\n".join(lines)


def _added(text: str, chance: random.Random) -> str:
    """Something more at the end: a field, a table, thousands of them."""
    many = chance.choice((10, 1500, 8000))
    depth = chance.choice((10, 33, 3000))
    more = chance.choice(
        (
            f"[run]\nthreads = {_number(chance)}\ndevice = {_text(chance)}\n",
            f"[ensemble]\nsamples = {_number(chance)}\nreplicas = {_number(chance)}\n",
            f"[[observables]]\nkind = {_text(chance)}\nname = {_text(chance)}\n",
            f'[[observables]]\nkind = "energy"\nname = {_text(chance)}\nterms = {_number(chance)}\n',
            f"[schedule.t]\nper_decade = {_number(chance)}\n",
            "".join(f'[[observables]]\nkind = "energy"\nname = "e{number}"\n' for number in range(many)),
            "".join(f"field{number} = 1\n" for number in range(many)),
            "".join(f"[table{number}]\n" for number in range(many)),
            f"[{'.'.join('a' * depth)}]\n",
            f"{'.'.join('a' * depth)} = 1\n",
            f"x = {_deep(chance)}\n",
            f"x = {_wide(chance)}\n" if chance.random() < 0.3 else "x = 1\n",
            "#" + "x" * 1_100_000 + "\n" if chance.random() < 0.1 else "#\n",
        )
    )
    return f"{text}\n{more}" if chance.random() < 0.7 else f"{more}\n{text}"


def _rewritten(text: str, chance: random.Random) -> str:
    """The tables, one value of which is another one, a table or an array, written anew."""
    try:
        tables = tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        return text
    places = _places(tables)
    if not places:
        return text
    (container, key), (elsewhere, other) = chance.choice(places), chance.choice(places)
    harm = chance.randrange(4)
    if harm == 0:
        container[key] = elsewhere[other]
    elif harm == 1 and isinstance(container, dict):
        container[chance.choice(KEYS)] = container[key]
    elif harm == 2:
        container[key] = [container[key]] * chance.choice((1, 2, 5))
    else:
        del container[key]
    try:
        return tomli_w.dumps(tables)
    except (TypeError, ValueError, RecursionError):
        return text


def _places(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) and len(value) < 99 else ()
    return [place for key, item in list(items) for place in ((value, key), *_places(item))]


KEYS = (
    *(
        "kind",
        "n",
        "p",
        "from",
        "to",
        "per_decade",
        "data",
        "name",
        "terms",
        "horizon",
        "t",
        "t_w",
        "time",
        "",
        "é\n",
        "seed",
        "0",
    ),
    *(
        "dt",
        "until",
        "batch_size",
        "temperature",
        "widths",
        "channels",
        "train",
        "pca",
        "subset",
        "path",
        "file",
        "module",
        "blocks",
    ),
)
HARMS: tuple[Callable[[str, random.Random], str], ...] = (
    *(_other_value,) * 6,
    *(_swapped, _other_line, _rewritten) * 2,
    _added,
)


# ------------------------------------------------------------------------------------------------------------------ bytes
def _bytes_harmed(content: bytes, chance: random.Random) -> bytes:
    """A flip, a cut, a hole, a stretch written twice or of other bytes."""
    if not content:
        return chance.randbytes(chance.randrange(1, 50))
    at, harm = chance.randrange(len(content)), chance.randrange(8)
    length = min(chance.choice((1, 2, 4, 16, 200)), len(content) - at)
    if harm <= 1:
        return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
    if harm == 2:
        return content[:at]
    if harm == 3:
        return content[:at] + bytes(length) + content[at + length :]
    if harm == 4:
        return content[:at] + chance.randbytes(length) + content[at + length :]
    if harm == 5:
        return content[:at] + content[at + length :]
    if harm == 6:
        return content[: at + length] + content[at:]
    return chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00" * 4, b"\r", b"\xc0\x80")) + content


# -------------------------------------------------------------------------------------------------------------------- npz
def mutated_npz(seed: int) -> bytes:
    """The bytes of an npz file: images of `SIDES` with labels below 10, harmed."""
    chance = random.Random(f"npz {seed}")
    members = _members(chance)
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        name = chance.choice(sorted(members))
        members[name] = chance.choice(MEMBER_HARMS)(members[name], chance)
    if chance.random() < 0.2:
        del members[chance.choice(sorted(members))]
    if chance.random() < 0.2:
        members[chance.choice(("../x.npy", "/etc/x.npy", "extra.npy", "train_x", "a" * 3000 + ".npy"))] = b"x" * 10
    content = _zipped(members, chance)
    if chance.random() < 0.3:
        content = _lying(content, chance)
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        content = _bytes_harmed(content, chance)
    return content


def _members(chance: random.Random) -> dict[str, bytes]:
    numbers = np.random.default_rng(chance.randrange(2**32))
    members: dict[str, bytes] = {}
    for part, count in (("train", 5), ("test", 3)):
        members[f"{part}_x.npy"] = _npy(numbers.integers(0, 256, (count, *SIDES)).astype(np.uint8))
        members[f"{part}_y.npy"] = _npy(numbers.integers(0, 10, count))
    return members


def _npy(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array, allow_pickle=True)
    return target.getvalue()


def _header(descr: str, shape: str, more: str = "", body: bytes = b"") -> bytes:
    """An npy member whose header says what it likes."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}{more}}}".encode() + b"\n"
    if len(head) >= 2**16:
        return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(head)) + head + body
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def _other_header(content: bytes, chance: random.Random) -> bytes:
    descr = chance.choice(
        ("'|u1'", "'|O'", "'<i8'", "[('a', '|u1')]", "'<f8'", "'|V3'", "'<U9999999'", "'|u1' * 9", "'|S0'", "(" * 99)
    )
    shape = chance.choice(
        (
            "(5, 4, 4, 3)",
            "(-5, 4, 4, 3)",
            "(5,)",
            "(10**9, 4, 4, 3)",
            f"({'9' * 400}, 4, 4, 3)",
            "(1000000000, 4, 4, 3)",
            "(0, 4, 4, 3)",
        )
    )
    more = chance.choice(("", "", ", 'x': 1", ", 'y': " + "[" * 500 + "]" * 500, " " * 70_000, "}" * 3))
    return _header(descr, shape, more, content[-240:])


def _object_array(content: bytes, chance: random.Random) -> bytes:
    return _npy(np.array([{"a": 1}] * 5, dtype=object))


def _long_header(content: bytes, chance: random.Random) -> bytes:
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", chance.choice((2**32 - 1, 2**31, 10**6, 12_000))) + content[10:]


def _swollen(content: bytes, chance: random.Random) -> bytes:
    return content + bytes(chance.choice((1, 100, 2_000_000)))


def _other_array(content: bytes, chance: random.Random) -> bytes:
    shape = chance.choice(((5, *SIDES), (3, *SIDES), (5,), (3,), (5, 4, 4), (0, *SIDES), (), (1, 1, 1, 1, 1)))
    kind: Any = chance.choice((np.uint8, np.int64, np.float32, np.bool_, np.complex64, np.dtype([("a", "u1")]), np.dtype("S3")))
    return _npy(np.zeros(shape, kind))


MEMBER_HARMS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_bytes_harmed,) * 3,
    *(_other_header,) * 2,
    _object_array,
    _long_header,
    _swollen,
    _other_array,
)


def _zipped(members: dict[str, bytes], chance: random.Random) -> bytes:
    """The members in a zip, one of them perhaps twice, with up to some thousand more of them."""
    target = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        if chance.random() < 0.1:
            for number in range(chance.choice((20, 3000))):
                archive.writestr(zipfile.ZipInfo(f"more/{number}.npy"), b"")
    return target.getvalue()


def _lying(content: bytes, chance: random.Random) -> bytes:
    """Sizes, offsets, checksums and flags of the zip's own records changed; members may then overlap."""
    records = {
        b"PK\x01\x02": ((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (42, "<I")),
        b"PK\x03\x04": ((8, "<H"), (22, "<I")),
    }
    signature = chance.choice(sorted(records))
    places = [at for at in range(len(content) - 46) if content[at : at + 4] == signature]
    if not places:
        return content
    at, (offset, form) = chance.choice(places), chance.choice(records[signature])
    changed = bytearray(content)
    most = 2 ** (16 if form == "<H" else 32) - 1
    told = chance.choice((0, 1, 8, 99, 30, 1000, most, most // 2, len(content)))
    struct.pack_into(form, changed, at + offset, min(told, most))
    return bytes(changed)


# -------------------------------------------------------------------------------------------------------------------- idx
def idx_original() -> bytes:
    """The unharmed idx file, unpacked."""
    numbers = np.random.default_rng(7).integers(0, 256, IDX_SHAPE).astype(np.uint8)
    return b"\0\0\x08" + bytes([len(IDX_SHAPE)]) + b"".join(side.to_bytes(4, "big") for side in IDX_SHAPE) + numbers.tobytes()


def mutated_idx(seed: int) -> tuple[str, bytes]:
    """Name (with or without .gz) and bytes of an idx file, harmed before or after it was packed, or not at all."""
    chance = random.Random(f"idx {seed}")
    content = idx_original()
    if chance.random() < 0.5:
        content = chance.choice((_bytes_harmed, _other_sides, _idx_swollen))(content, chance)
    packed = chance.random() < 0.6
    if packed:
        content = _packed(content, chance)
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        content = _bytes_harmed(content, chance)
    told = packed if chance.random() < 0.9 else not packed
    return f"images-idx3-ubyte{'.gz' if told else ''}", content


def _other_sides(content: bytes, chance: random.Random) -> bytes:
    sides = chance.choice(((2**32 - 1,) * 3, (2**31, 4, 4), (0, 4, 4), (6, 4, 4, 1), (96,), ()))
    kind = chance.choice((8, 9, 13, 14, 0, 255))
    return bytes([0, 0, kind, len(sides)]) + b"".join(side.to_bytes(4, "big") for side in sides) + content[16:]


def _idx_swollen(content: bytes, chance: random.Random) -> bytes:
    return content + bytes(chance.choice((1, 1000, 5_000_000)))


def _packed(content: bytes, chance: random.Random) -> bytes:
    harm = chance.randrange(6)
    if harm == 0:  # members one after another, as gzip allows
        middle = len(content) // 2
        return gzip.compress(content[:middle], mtime=0) + gzip.compress(content[middle:], mtime=0)
    if harm == 1:
        return gzip.compress(content, mtime=0) + gzip.compress(bytes(chance.choice((0, 1, 3_000_000))), mtime=0)
    if harm == 2:
        return zlib.compress(content)
    if harm == 3:
        return gzip.compress(gzip.compress(content, mtime=0), mtime=0)
    return gzip.compress(content, mtime=0)
