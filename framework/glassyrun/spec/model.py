"""The tables of a spec that belong to the engine. Plugins bring the rest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from glassyrun.options import DynamicsOptions, ObservableOptions, Options, SystemOptions

MOST_POINTS = 100_000
"""Points of one grid; a spec can't eat the machine."""

MOST_EVENTS = 1_000_000
"""Readings of one replica on the one-time grid and on all pairs (t_w, t)."""

MOST_NUMBERS = 1_000_000_000
"""Numbers that one variable of the result has, over all samples and replicas."""

Time = Annotated[float, Field(ge=0)]


class LogGrid(Options):
    """Points spaced evenly in the logarithm: `{from, to, per_decade}`. `from = 0` stands for zero, then one step and on."""

    from_: Annotated[
        float, Field(alias="from", ge=0, description="first time; 0 puts zero itself first, then goes on from one step")
    ] = 0.0
    to: Annotated[float | None, Field(gt=0, description="last time; default: as far as the horizon lets it")] = None
    per_decade: Annotated[float, Field(gt=0, le=1000, description="points per factor of ten")]


class LinearGrid(Options):
    """Points spaced evenly: `{from, to, n}`, both ends included."""

    from_: Annotated[float, Field(alias="from", ge=0, description="first time")] = 0.0
    to: Annotated[float | None, Field(gt=0, description="last time; default: as far as the horizon lets it")] = None
    n: Annotated[int, Field(ge=1, le=MOST_POINTS, description="number of points")]


TimeList = Annotated[list[Time], Field(min_length=1, max_length=MOST_POINTS)]
GridSpec = TimeList | LogGrid | LinearGrid


class ScheduleOptions(Options):
    """The table `[schedule]`: how long, and when what is measured. Times are in units of the dynamics (steps for SGD).

    Under stages of `[[dynamics]]` the time is the sum of each stage's own.
    """

    horizon: Annotated[float, Field(gt=0, description="length of the run, in units of time of the dynamics (steps for SGD)")]
    time: Annotated[
        GridSpec, Field(description="one-time grid, for energy and the like; default: zero and ten points a decade")
    ] = LogGrid(per_decade=10)
    t_w: Annotated[GridSpec, Field(description="waiting times; default: zero and two a decade, up to half the horizon")] = (
        LogGrid(per_decade=2)
    )
    t: Annotated[GridSpec, Field(description="lags; default: zero and eight a decade, up to the horizon")] = LogGrid(per_decade=8)


class EnsembleOptions(Options):
    """The table `[ensemble]`: how many runs, and what they share."""

    samples: Annotated[int, Field(ge=1, le=1_000_000, description="realisations of the disorder, run one after another")] = 1
    replicas: Annotated[int, Field(ge=1, le=100_000, description="runs on the same disorder, evolved together")] = 1
    start: Annotated[
        Literal["own", "shared"],
        Field(description="whether each replica has its own start or all share one; noise and batches are each replica's own"),
    ] = "own"


class RunOptions(Options):
    """The table `[run]`: where and how precisely."""

    device: Annotated[
        str,
        Field(
            pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$", description="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one"
        ),
    ] = "cpu"
    dtype: Annotated[
        Literal["float32", "float64"], Field(description="of the degrees of freedom; two-time differences accumulate in float64")
    ] = "float32"
    threads: Annotated[
        int | None, Field(ge=1, le=4096, description="CPU threads; default: all. Sums depend on it in the last bits")
    ] = None
    rising_energy: Annotated[
        Literal["stop", "accept"],
        Field(
            description="when the energy rises in a dynamics that descends (T = 0, all terms), and so the time step is too large"
        ),
    ] = "stop"
    deterministic: Annotated[
        bool | None,
        Field(
            description="whether only kernels that repeat every bit are used; default: on a CPU yes, on a GPU no, where they are slower"
        ),
    ] = None
    cuda_graphs: Annotated[
        bool,
        Field(
            description="on a GPU: whether the kernels of a step are captured once and replayed, where the System and the Dynamics allow it"
        ),
    ] = True
    on_error: Annotated[
        Literal["stop", "continue"],
        Field(
            description="when an observable raises in the middle of a run: stop, or continue the sample without that observable"
        ),
    ] = "stop"
    checkpoint_seconds: Annotated[
        float,
        Field(
            gt=0, description="time between two commits of what was measured, seconds; longer where commits would take over 1 %"
        ),
    ] = 60.0
    extendable: Annotated[
        bool,
        Field(
            description="whether the horizon may grow later: keeps one copy of x a waiting time, and the last state, of each sample"
        ),
    ] = True


MOST_STAGES = 1000
MOST_OBSERVABLES = 1000
Stages = Annotated[list[SerializeAsAny[DynamicsOptions]], Field(min_length=1, max_length=MOST_STAGES)]


class Spec(Options):
    """A whole experiment. The same spec and seed give the same bits on the same device and versions."""

    seed: Annotated[int, Field(ge=0, lt=2**63, description="of all random numbers")] = 0
    system: Annotated[SerializeAsAny[SystemOptions], Field(description="what evolves")]
    dynamics: Annotated[
        SerializeAsAny[DynamicsOptions] | Stages,
        Field(description="how it evolves: one table, or an array of stages one after another, each but the last with `until`"),
    ]
    schedule: Annotated[ScheduleOptions, Field(description="how long, and when what is measured")]
    ensemble: Annotated[EnsembleOptions, Field(description="how many runs")] = EnsembleOptions()
    observables: Annotated[
        list[SerializeAsAny[ObservableOptions]],
        Field(max_length=MOST_OBSERVABLES, description="what is measured; default: what the system names"),
    ] = []
    run: Annotated[RunOptions, Field(description="where and how precisely")] = RunOptions()

    @property
    def stages(self) -> tuple[DynamicsOptions, ...]:
        """The dynamics in the order of time; one where the spec has one table."""
        return tuple(self.dynamics) if isinstance(self.dynamics, list) else (self.dynamics,)
