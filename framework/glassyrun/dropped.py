"""Observables that raised in the middle of a run which goes on without them."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, MutableMapping
from typing import Any

from glassyrun.errors import StorageError

ATTRIBUTE = "dropped_observables"
"""Of the result, JSON: label, sample, step and what was raised, for each observable that was dropped."""
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+\b")
"""Differs from run to run: it has no place in a result."""


def dropped(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was dropped so far, by the attributes of a manifest or of a result.

    Raises:
        StorageError: if they hold something else there.
    """
    text = attributes.get(ATTRIBUTE, "[]")
    try:
        entries = json.loads(text)
        for entry in entries:
            label, sample, step, raised = (entry[key] for key in ("label", "sample", "step", "raised"))
            if not (isinstance(label, str) and isinstance(raised, str) and isinstance(sample, int) and isinstance(step, int)):
                raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StorageError(
            f"manifest.json: {ATTRIBUTE} is damaged, expected a list of labels, samples and steps; restore it, or begin anew with --fresh"
        ) from error
    return entries


def drop(attributes: MutableMapping[str, Any], label: str, sample: int, step: int, error: Exception) -> str:
    """Takes note of one, once however often the step is done again after a kill; gives back what was raised, in one line."""
    cause = error.__cause__ or error
    raised = ADDRESS.sub("0x…", " ".join(f"{type(cause).__name__}: {cause}".split()))
    known = [entry for entry in dropped(attributes) if (entry["label"], entry["sample"], entry["step"]) != (label, sample, step)]
    entries = [*known, {"label": label, "sample": sample, "step": step, "raised": raised}]
    entries.sort(key=lambda entry: (entry["sample"], entry["step"]))
    attributes[ATTRIBUTE] = json.dumps(entries, sort_keys=True)
    return raised


def forget(attributes: MutableMapping[str, Any], sample: int, but: Container[str]) -> None:
    """A sample that goes on from before it dropped something asks it again: what raises once more is noted once more."""
    entries = dropped(attributes)
    left = [entry for entry in entries if entry["sample"] != sample or entry["label"] in but]
    if left:
        attributes[ATTRIBUTE] = json.dumps(left, sort_keys=True)
    elif entries:
        del attributes[ATTRIBUTE]


def told(attributes: Mapping[str, Any]) -> list[str]:
    """One sentence on each, for the end of a run."""
    return [
        f"observables.{entry['label']}: is NaN in sample {entry['sample']} from step {entry['step']} on, where it raised {entry['raised']}"
        for entry in dropped(attributes)
    ]
