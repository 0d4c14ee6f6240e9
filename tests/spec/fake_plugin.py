"""A small plugin with one of everything that a spec can hold; nothing in it can run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

import glassyrun
from glassyrun import AnyDataset, DatasetOptions, DynamicsOptions, Footprint, ObservableOptions, Options, Refusal, SystemOptions


class ExternalField(Options):
    """A field along one direction."""

    strength: float
    along: Literal["x", "y"] = "x"


class GlassOptions(SystemOptions):
    """A fake glass.

    More about it.
    """

    kind: Literal["glass"] = "glass"
    n: Annotated[int, Field(ge=2, le=1000, description="number of spins")]
    size: Annotated[float | None, Field(gt=0, allow_inf_nan=True, description="size, may be infinite")] = None
    law: Annotated[Literal["gaussian", "binary"], Field(description="law of a coupling")] = "gaussian"
    mixture: Annotated[dict[str, float] | None, Field(description="p → weight")] = None
    shape: Annotated[tuple[int, ...], Field(description="numbers in a row")] = (1, 2)
    share: Annotated[
        Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] | None, Field(description="count or share")
    ] = None
    fields: Annotated[list[ExternalField], Field(description="external fields")] = []
    planted: Annotated[bool, Field(description="whether planted")] = False

    @model_validator(mode="after")
    def _consistent(self) -> GlassOptions:
        if self.mixture and self.law == "binary":
            raise ValueError("a mixture has Gaussian couplings; leave out law or mixture")
        return self

    def footprint(self, context: Any) -> Footprint:
        return Footprint(self.n, self.n, 8 * self.n)

    def build(self, context: Any) -> Any:
        raise NotImplementedError

    def observables(self) -> tuple[str, ...]:
        return ("reading",)

    def always_measured(self) -> tuple[str, ...]:
        return ("guard",)


class NetOptions(SystemOptions):
    """A fake network that learns from a data set."""

    kind: Literal["net"] = "net"
    disordered = False
    data: Annotated[AnyDataset, Field(description="what it learns from")]
    extra: Annotated[list[AnyDataset], Field(description="more of it")] = []
    width: Annotated[int, Field(ge=1)] = 10

    def footprint(self, context: Any) -> Footprint:
        return Footprint(self.width, 1, 8)

    def build(self, context: Any) -> Any:
        raise NotImplementedError

    def observables(self) -> tuple[str, ...]:
        return ("reading",)


class WalkOptions(DynamicsOptions):
    """A fake walk."""

    kind: Literal["walk"] = "walk"
    dt: Annotated[float, Field(gt=0, description="time per step")] = 0.1
    temperature: Annotated[float, Field(ge=0, description="temperature")]

    @property
    def time_step(self) -> float:
        return self.dt

    def build(self, context: Any, system: Any) -> Any:
        raise NotImplementedError


class LeapOptions(DynamicsOptions):
    """A fake leap, which refuses fast ones."""

    kind: Literal["leap"] = "leap"
    dt: Annotated[float, Field(gt=0)] = 0.1
    length: float = 1.0

    @model_validator(mode="after")
    def _refuses(self) -> LeapOptions:
        if self.length > 10:
            raise Refusal(f"a leap of {self.length} is too long; take 10 or less")
        return self

    @property
    def time_step(self) -> float:
        return self.dt

    def build(self, context: Any, system: Any) -> Any:
        raise NotImplementedError


class ReadingOptions(ObservableOptions):
    """A fake reading."""

    kind: Literal["reading"] = "reading"
    terms: Annotated[int | None, Field(ge=1)] = None

    def build(self, context: Any, system: Any) -> Any:
        raise NotImplementedError


class GuardOptions(ReadingOptions):
    """A fake reading that must not be left out."""

    kind: Literal["guard"] = "guard"


class DigitsOptions(DatasetOptions):
    """Fake digits."""

    kind: Literal["digits"] = "digits"
    count: Annotated[int, Field(ge=1, description="images")] = 100

    def load(self, context: Any) -> Any:
        raise NotImplementedError


class NoisyOptions(DatasetOptions):
    """Another data set with noise on it."""

    kind: Literal["noisy"] = "noisy"
    of: AnyDataset
    level: Annotated[float, Field(ge=0, le=1)] = 0.1

    def load(self, context: Any) -> Any:
        raise NotImplementedError


@glassyrun.hookimpl
def glassyrun_systems() -> list[type[SystemOptions]]:
    return [GlassOptions, NetOptions]


@glassyrun.hookimpl
def glassyrun_dynamics() -> list[type[DynamicsOptions]]:
    return [WalkOptions, LeapOptions]


@glassyrun.hookimpl
def glassyrun_observables() -> list[type[ObservableOptions]]:
    return [ReadingOptions, GuardOptions]


@glassyrun.hookimpl
def glassyrun_datasets() -> list[type[DatasetOptions]]:
    return [DigitsOptions, NoisyOptions]
