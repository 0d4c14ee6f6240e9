"""The hooks that a plugin implements. Each gives back a list of Options classes.

    import glassyrun

    @glassyrun.hookimpl
    def glassyrun_systems():
        return [MySystemOptions]

A package registers the module by an entry point of group "glassyrun"; a single file by `--plugin FILE.py`.
"""

from __future__ import annotations

import pluggy

from glassyrun.options import DatasetOptions, DynamicsOptions, ObservableOptions, SystemOptions

GROUP = "glassyrun"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def glassyrun_systems() -> list[type[SystemOptions]]:  # type: ignore[empty-body]
    """Options classes of Systems, the table `[system]`."""


@hookspec
def glassyrun_dynamics() -> list[type[DynamicsOptions]]:  # type: ignore[empty-body]
    """Options classes of Dynamics, the table `[dynamics]`."""


@hookspec
def glassyrun_observables() -> list[type[ObservableOptions]]:  # type: ignore[empty-body]
    """Options classes of Observables, the tables `[[observables]]`."""


@hookspec
def glassyrun_datasets() -> list[type[DatasetOptions]]:  # type: ignore[empty-body]
    """Options classes of data sets, the table `[system.data]`."""
