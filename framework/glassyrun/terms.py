"""Whether a run may go on: the same spec, but for what may grow, on the same terms, unless equal bits are given up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import attrs
import tomli

from glassyrun.errors import Refusal
from glassyrun.experiment import Setting
from glassyrun.manifest import Manifest
from glassyrun.progress import Reporter
from glassyrun.spec.dump import MACHINERY, MAY_GROW, NO_NUMBER_DEPENDS_ON, Difference, diff_specs, dump_spec
from glassyrun.spec.model import Spec
from glassyrun.store import Store

LONGEST_SHOWN = 200
UNPROMISED = "say --allow-drift to go on without the promise of equal bits"


def growth(manifest: Manifest, spec: Spec, directory: Path, *, allow_drift: bool = False) -> list[Difference]:
    """The fields that have grown since the run was begun; everything else must be the same.

    Raises:
        Refusal: naming the fields that differ.
    """
    differences = [d for d in diff_specs(tomli.loads(manifest.spec), spec) if d[0] not in NO_NUMBER_DEPENDS_ON]
    grown = [d for d in differences if d[0] in MAY_GROW and _larger(d)]
    drifted = [d for d in differences if d[0] in MACHINERY]
    if len(grown) + (len(drifted) if allow_drift else 0) == len(differences):
        return grown
    changed = "; ".join(_told(difference) for difference in differences if difference not in grown)
    way_on = f"{UNPROMISED}, " if len(grown) + len(drifted) == len(differences) else ""
    raise Refusal(
        f"{directory}: holds a run of another spec: {changed}; {way_on}choose another directory with -o DIR, or begin anew "
        "with --fresh"
    )


def _larger(difference: Difference) -> bool:
    _, old, new = difference
    return isinstance(old, int | float) and isinstance(new, int | float) and new > old


def _told(difference: Difference) -> str:
    field, old, new = (_shown(value) for value in difference)
    return f"{field} was {old}, now {new}"


def _shown(value: object) -> str:
    """A value in a sentence; the old one may be a stranger's, with characters that command a terminal."""
    text = "not set" if value is None else str(value)
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= LONGEST_SHOWN else f"{plain[:LONGEST_SHOWN]}…"


def begun_threads(manifest: Manifest) -> int | None:
    """The threads that a run was begun with, or has drifted to: going on with as many gives the same bits."""
    threads = {**manifest.attributes, **manifest.terms}.get("threads")
    return None if threads is None else int(threads)


def check_promise(store: Store, setting: Setting, *, allow_drift: bool = False) -> str:
    """A resumed run must repeat the bits of an uninterrupted one, so nothing they depend on may have changed.

    With `allow_drift` the run may go on all the same; what has changed is given back in words, for `drift_on`.

    Raises:
        Refusal: naming what has changed.
    """
    manifest = store.manifest
    if manifest.untouched:
        return ""
    changed = drift({**manifest.attributes, **manifest.terms}, setting.promise())
    if changed and not allow_drift:
        raise Refusal(
            f"{store.directory}: the run was begun on other terms ({'; '.join(changed)}); go on under the same, begin anew with "
            f"--fresh, or {UNPROMISED}"
        )
    machinery = [_told(d) for d in diff_specs(tomli.loads(manifest.spec), setting.spec) if d[0] in MACHINERY]
    return "; ".join(dict.fromkeys([*changed, *machinery]))


def drift_on(store: Store, setting: Setting, changed: str, tell: Reporter) -> None:
    """Commits that the run, which has grown if it was to grow, goes on under other terms; the result says from where on."""
    tell.warn(f"the terms have changed ({changed}): from here on the bits are not those of a run that never stopped")
    manifest, spec = store.manifest, dump_spec(setting.spec)
    drifted = "\n".join([*str(manifest.attributes.get("drift", "")).splitlines(), f"from {_standing(manifest)} on: {changed}"])
    attributes = {**manifest.attributes, "drift": drifted, "spec": spec}
    store.replace(attrs.evolve(manifest, attributes=attributes, terms=setting.promise(), spec=spec))


def _standing(manifest: Manifest) -> str:
    """Where samples go on from: the one under way, and those that had been finished before the run grew."""
    blobs = [*manifest.finals, *([manifest.checkpoint] if manifest.checkpoint else [])]
    steps = {blob.sample: blob.about["step"] for blob in blobs if blob.sample >= manifest.done} or {manifest.done: 0}
    groups = [(step, [sample for sample, _ in pairs]) for step, pairs in groupby(sorted(steps.items()), lambda pair: pair[1])]
    return ", ".join(
        f"step {step} of sample {samples[0]}" if len(samples) == 1 else f"step {step} of samples {samples[0]} to {samples[-1]}"
        for step, samples in groups
    )


def drift(begun: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Terms of the promise that are other ones now, `plugins: mine.py` rather than two lists of digests."""
    changed: list[str] = []
    for key, value in now.items():
        old = begun.get(key)
        if old == value or old is None:
            continue
        if not value.startswith("{"):
            changed.append(f"{key} was {old}, now {value}")
            continue
        before, after = json.loads(old), json.loads(value)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        changed.append(f"{key}: " + ", ".join(f"{name} was {before.get(name)}, now {after.get(name)}" for name in names))
    return changed


def tell_of_the_past(manifest: Manifest, setting: Setting, tell: Reporter) -> None:
    """What a user should know of a result that was made before."""
    if "warnings" in manifest.attributes:
        tell.warn(str(manifest.attributes["warnings"]))
    changed = drift({"plugins": manifest.attributes.get("plugins")}, {"plugins": setting.promise()["plugins"]})
    if changed:
        tell.warn(f"this result was made by other code ({'; '.join(changed)}); --fresh makes it anew")
