"""From a TOML file to a resolved Spec, or to every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from glassyrun.errors import GlassyrunError
from glassyrun.options import ObservableOptions, SystemOptions
from glassyrun.registry import Registry
from glassyrun.spec.checks import check
from glassyrun.spec.document import read_document
from glassyrun.spec.dump import diff_specs as diff_specs
from glassyrun.spec.dump import dump_spec as dump_spec
from glassyrun.spec.model import Spec
from glassyrun.spec.overrides import apply_override
from glassyrun.spec.problems import SpecError
from glassyrun.spec.validate import Validator


def load_spec(source: Path | str | Mapping[str, Any], overrides: Sequence[str] = (), registry: Registry | None = None) -> Spec:
    """The resolved Spec of a TOML file (or of tables given in Python), after `overrides` of the form `FIELD=VALUE`.

    Resolved means: the observables are named, those that the system measures by default or always included.

    Raises:
        SpecError: with every problem of the file and the overrides.
        StorageError: if the file can't be read.
    """
    registry = registry if registry is not None else Registry.installed()
    document = read_document(Path(source) if isinstance(source, str) else source)
    faults = [fault for text in overrides if (fault := apply_override(document, text))]
    validator = Validator(document, registry)
    spec = validator.table(Spec, document.table)
    if isinstance(spec, Spec):
        spec = _with_needs(_with_observables(spec, validator), validator)
        validator.parts = {**validator.parts, "ensemble": spec.ensemble, "observables": spec.observables}
    check(validator.parts, validator.complain)
    problems = faults + validator.problems
    if problems or not isinstance(spec, Spec):
        raise SpecError(sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0)))
    return spec


def _with_observables(spec: Spec, validator: Validator) -> Spec:
    """The spec with what the system measures by default, or always."""
    default, always = _measured(spec.system, validator)
    named = list(spec.observables) or _made(default, "by default", spec.system, validator)
    present = {observable.kind for observable in named}
    missing = [kind for kind in dict.fromkeys(always) if kind not in present]
    return spec.model_copy(update={"observables": [*named, *_made(missing, "always", spec.system, validator)]})


def _with_needs(spec: Spec, validator: Validator) -> Spec:
    """The spec with what the system needs of the table `[run]`."""
    needs = spec.system.run_needs()
    for field, value in needs.items():
        found = getattr(spec.run, field)
        if field in spec.run.model_fields_set and found != value:
            told = f"found {found!r}, but this system as it is set needs {value!r}"
            validator.complain(("run", field), told, hint="leave it out")
    return spec.model_copy(update={"run": spec.run.model_copy(update=needs)}) if needs else spec


def _measured(system: SystemOptions, validator: Validator) -> tuple[Sequence[str], Sequence[str]]:
    try:
        return system.observables(), system.always_measured()
    except GlassyrunError as error:
        validator.complain(("system",), str(error))
    except Exception as error:  # noqa: BLE001 -- a plugin's method
        validator.complain(("system",), f"observables() of {system.kind} raised {type(error).__name__}: {error}")
    return (), ()


def _made(kinds: Sequence[str], when: str, system: SystemOptions, validator: Validator) -> list[ObservableOptions]:
    made: list[ObservableOptions] = []
    entries = validator.registry.kinds("observables")
    for kind in kinds:
        if kind not in entries:
            told = f"a {system.kind} measures '{kind}' {when}, but no plugin brings it"
            validator.complain(("observables",), told, hint="install the plugin, or name what to measure in [[observables]]")
            continue
        try:
            options = entries[kind].options.model_validate({})
        except ValidationError:
            told = f"a {system.kind} measures '{kind}' {when}, but it has options without a default"
            validator.complain(("observables",), told, hint="name it in [[observables]] with its options")
            continue
        if isinstance(options, ObservableOptions):
            made.append(options)
    return made
