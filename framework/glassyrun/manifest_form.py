"""The form that a manifest must have, field by field: types, limits, and names of files that only a run gives."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

import tomli
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SHARD = re.compile(r"shards/\d{8,12}-measured\.safetensors")
REMEMBERED = re.compile(r"shards/\d{8,12}-remembered\.safetensors")
STATE = re.compile(r"checkpoints/\d{8,12}-(state|final)\.safetensors")
START = re.compile(r"checkpoints/\d{8,12}-start\.safetensors")
FINAL = STATE
OURS = re.compile(r"\d{8,12}-(measured|remembered|state|start|final)\.safetensors")
"""Names that a run gives to its files of tensors."""
MOST_VALUES = 1_000_000
"""Points of an axis."""
LONGEST_RANGE = 2**40
LONGEST_SPEC = 4_000_000

Count = Annotated[int, Field(ge=0, lt=2**53)]
Small = Annotated[int, Field(ge=0, le=MOST_VALUES)]
Name = Annotated[str, Field(pattern=r"^[^/\x00-\x1f\x7f-\x9f]{1,200}$")]
Text = Annotated[str, Field(max_length=1_000_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
"""Lines of text, without the characters that command a terminal."""
Line = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Scalar = Text | Whole | float
Finite = Whole | Annotated[float, Field(allow_inf_nan=False)]


def number_of(file: str) -> int:
    """The serial number in the name of a file."""
    return int(file.rpartition("/")[2].partition("-")[0])


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Blob(_Form):
    file: Annotated[str, Field(pattern=r"^(shards|checkpoints)/\d{8,12}-[a-z]{4,12}\.safetensors$")]
    size: Annotated[int, Field(ge=0, le=2**48)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Sample(_Form):
    sample: Small
    step: Count | None = None


class _Kept(_Form):
    """Of a reference."""

    t_w: Small
    since: Count
    step: Count
    labels: Annotated[list[Name], Field(max_length=1000)]
    sample: Small = 0


class _Due(_Form):
    """What is yet to be measured at the step of a checkpoint, in steps."""

    time: bool = False
    t_w: bool = False
    pairs: Annotated[list[Annotated[list[Count], Field(min_length=2, max_length=2)]], Field(max_length=MOST_VALUES)] = []


class _PutOff(_Form):
    """Of readings that wait until a trajectory is complete."""

    kept: Annotated[list[_Kept], Field(max_length=MOST_VALUES)] = []
    dropped: Annotated[list[Name], Field(max_length=1000)] = []


class _Place(_Form):
    """Of a checkpoint."""

    sample: Small
    step: Count
    time: float | None = None
    event: Count | None = None
    living: Annotated[list[_Kept], Field(max_length=MOST_VALUES)] = []
    live: Annotated[list[Small], Field(max_length=MOST_VALUES)] | None = None
    remembers: Annotated[dict[Name, bool], Field(max_length=1000)] = {}
    due: _Due | None = None
    put_off: _PutOff | None = None
    dropped: Annotated[list[Name], Field(max_length=1000)] = []
    disorder: Annotated[dict[Name, Text], Field(max_length=1000)] = {}


class _Shard(_Blob):
    about: _Sample


class _Reference(_Blob):
    about: _Kept


class _State(_Blob):
    about: _Place


class _Axis(_Form):
    values: Annotated[list[Finite], Field(max_length=MOST_VALUES)]
    along: Name | None = None
    long_name: Text
    units: Text


def _ends(ends: list[int]) -> list[int]:
    if ends[2] == 0 or len(range(*ends)) > LONGEST_RANGE:
        raise ValueError("expected the ends of a range")
    return ends


class _Range(_Form):
    range: Annotated[list[Annotated[int, Field(ge=-(2**53), le=2**53)]], Field(min_length=3, max_length=3), AfterValidator(_ends)]


class _Variable(_Form):
    grid: Annotated[list[Literal["time", "t_w", "t"]], Field(min_length=1, max_length=2)]
    dims: Annotated[list[Name], Field(min_length=1, max_length=10)]
    coords: Annotated[dict[Name, _Range | Annotated[list[Scalar], Field(max_length=MOST_VALUES)]], Field(max_length=10)]
    dtype: Literal["float64", "float32"] = "float64"
    attributes: Annotated[dict[Name, Scalar], Field(max_length=1000)]


def _threads(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise ValueError("expected a number of threads")
    return text


def _table(text: str) -> str:
    """JSON of one level."""
    table = json.loads(text)
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError("expected a table of texts")
    return text


def _origin(text: str) -> str:
    about = json.loads(text)
    forms = {"spec": str, "state": str, "step": int, "time": (int, float), "what": str}
    if not isinstance(about, dict) or not all(isinstance(about.get(key), form) for key, form in forms.items()):
        raise ValueError("expected where a run was begun")
    return text


def _spec(text: str) -> str:
    tomli.loads(text)
    return text


class _Terms(_Form):
    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Scalar | list[Scalar]] = Field(init=False)  # pyrefly: ignore[bad-override-mutable-attribute]

    threads: Annotated[str, AfterValidator(_threads)] | None = None
    versions: Annotated[Text, AfterValidator(_table)] | None = None
    plugins: Annotated[Text, AfterValidator(_table)] | None = None
    started_from: Annotated[Text, AfterValidator(_origin)] | None = None


class Form(_Form):
    """A whole manifest. What a field means is told in `Manifest`."""

    spec: Annotated[str, Field(max_length=LONGEST_SPEC), AfterValidator(_spec)]
    attributes: _Terms
    axes: Annotated[dict[Name, _Axis], Field(max_length=100)]
    variables: Annotated[dict[Name, _Variable], Field(max_length=10_000)]
    grids: dict[Literal["time", "t_w", "t"], Annotated[list[Count], Field(min_length=1, max_length=MOST_VALUES)]] = {}
    terms: _Terms = _Terms()
    shards: list[_Shard]
    references: list[_Reference]
    checkpoint: _State | None
    previous: _State | None = None
    finals: list[_State] = []
    starts: list[_Shard] = []
    done: Small
    failure: Line | None
    complete: bool
    serial: Annotated[int, Field(ge=0, lt=10**12)]
    format: int
    digest: Annotated[str, Field(max_length=100)] | None = None
