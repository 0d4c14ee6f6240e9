"""A Spec back as TOML, and what two specs differ in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w
from pydantic import BaseModel

from glassyrun.errors import Refusal
from glassyrun.spec.fields import flat
from glassyrun.spec.model import Spec
from glassyrun.spec.words import key_of

NO_NUMBER_DEPENDS_ON = ("run.checkpoint_seconds", "run.extendable", "run.on_error", "run.cuda_graphs")
"""Fields that may change under a run."""
MAY_GROW = ("schedule.horizon", "ensemble.samples")
"""Fields that may become larger: every event of the shorter run is one of the longer run."""
MACHINERY = ("run.device", "run.threads", "run.deterministic")
"""Fields that change no more than the last bits; they may become others where equal bits are given up."""
Difference = tuple[str, Any, Any]
"""Field, old value, new value; None where there is none."""


def dump_spec(spec: Spec) -> str:
    """TOML with every default written out, which loads back to an equal Spec.

    Raises:
        Refusal: if a value can't be written in TOML (None where the default is something else).
    """
    return tomli_w.dumps(spec_tables(spec))


def spec_tables(options: BaseModel) -> dict[str, Any]:
    """The tables of a spec as plain values, under the names that the file has for them."""
    tables: dict[str, Any] = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if value is not None:
            tables[key_of(name, field)] = _plain(value)
        elif field.is_required() or field.get_default(call_default_factory=True, validated_data={}) is not None:
            raise Refusal(f"{type(options).__name__}.{name} is None, which TOML can't say")
    return tables


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return spec_tables(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value


def diff_specs(a: Spec | Mapping[str, Any], b: Spec | Mapping[str, Any]) -> list[Difference]:
    """The fields in which two specs differ; observables are told apart by their labels, whatever their order, stages by theirs.

    Either may be given as the tables of a dumped spec, which then need not be loadable any more.
    """
    old, new = (flat(spec_tables(spec) if isinstance(spec, Spec) else spec) for spec in (a, b))
    names = list(dict.fromkeys([*old, *new]))
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def same_whatever_its_length(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dumped spec that stay what they are in a run that grows, is interrupted or drifts."""
    changing = (*NO_NUMBER_DEPENDS_ON, *MAY_GROW, *MACHINERY)
    return {name: value for name, value in flat(tables).items() if name not in changing}
