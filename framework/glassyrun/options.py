"""The tables of a spec that plugins define: pydantic models that validate, describe and build."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import attrs
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

if TYPE_CHECKING:
    from glassyrun.context import Context
    from glassyrun.dataset import LabelledData
    from glassyrun.dynamics import Dynamics
    from glassyrun.observable import Observable
    from glassyrun.solver import Solver
    from glassyrun.system import System


class Options(BaseModel):
    """A table of a spec: unknown keys, wrong types, NaN and Inf are errors; immutable once read.

    The class docstring's first line is what `glassyrun plugins` prints, the docstring and the field descriptions are what
    `glassyrun show KIND`, the JSON Schema and the spec reference print. A field's unit goes into its description.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=False)


class PluginOptions(Options):
    """A table whose `kind` chooses the plugin; subclasses narrow `kind` to a Literal with a default."""

    kind: str


@attrs.frozen
class Footprint:
    """What a System takes, known before anything is allocated."""

    dof: int
    terms: int
    bytes: int
    """Memory that the built System holds, in bytes (couplings, data)."""
    transient_bytes: int = 0
    """What building and one gradient take beside that, of one replica where several are looked at at once."""
    notes: tuple[str, ...] = ()
    """Lines for `glassyrun plan`."""
    at_once: int = 1
    """Most replicas that are looked at at once, each of which takes `transient_bytes`."""


class SystemOptions(PluginOptions):
    """The table `[system]`."""

    reveals: ClassVar[Any] = False
    """Whether the System draws its disorder where it is looked at, a bool; a property where it depends on options. See `System.take_up`."""
    disordered: ClassVar[Any] = True
    """Whether different samples differ, a bool; a property where it depends on options. More than one sample is refused without."""
    disorder_from: ClassVar[str] = ""
    """How a user gives disorder to a system that has none as it is set: "set … to …"."""

    @abstractmethod
    def footprint(self, context: Context) -> Footprint:
        """Degrees of freedom, terms and bytes.

        Raises:
            Refusal: if the options make no sense together.
            DataError: if the size depends on a data set that is absent.
        """

    @abstractmethod
    def build(self, context: Context) -> System:
        """The System of the disorder sample `context.sample`."""

    def solver(self) -> Solver:
        """How the numbers on the grid come about: trajectories, unless the system knows better."""
        from glassyrun.trajectories import Trajectories

        return Trajectories()

    def run_needs(self) -> dict[str, str]:
        """Fields of the table `[run]` that can have one value only; it is theirs where the spec names none."""
        return {}

    def stable_step(self) -> float | None:
        """2/λ_max, beyond which explicit steps down the gradient are unstable; None where the curvature isn't known."""
        return None

    def minibatch_temperature(self, time_step: float, excess: float) -> float | None:
        """The temperature that the noise of mini-batches acts like, in units of energy; None where no formula is known.

        `time_step` is α/(1−β) for SGD and dt otherwise. `excess` is the variance of a batch's estimate of a sum of M random
        terms, in units of that sum's own: M/B − 1 without replacement, M/B with.
        """
        return None

    def observables(self) -> tuple[str, ...]:
        """Kinds measured where the spec names none."""
        return ("energy", "msd", "overlap")

    def always_measured(self) -> tuple[str, ...]:
        """Kinds measured beside those that the spec names, because a result without them could mislead."""
        return ()


class DynamicsOptions(PluginOptions):
    """The table `[dynamics]`, or one stage of a protocol in `[[dynamics]]`."""

    until: Annotated[
        float | None,
        Field(
            gt=0,
            description="of a stage in [[dynamics]]: time of the run at which it ends and the next begins; the last one ends with the run",
        ),
    ] = None
    time_unit: ClassVar[str] = "1"
    """What one unit of time is, for the result's `units`: a word such as "step", or "1" where time is dimensionless."""

    @property
    @abstractmethod
    def time_step(self) -> float:
        """Time per step."""

    @property
    def gradient_step(self) -> float:
        """What multiplies the gradient in one step, for comparison with `SystemOptions.stable_step`."""
        return self.time_step

    @property
    def flow_step(self) -> float:
        """Time along the gradient flow per step, that of `Dynamics.flow_step`: dt, or α/(1−β) for SGD with momentum."""
        return self.time_step

    @property
    def gradients(self) -> int:
        """Looks at the gradient in one step."""
        return 1

    @property
    def noises(self) -> int:
        """Thermal noise vectors in one step; 0 where none moves x."""
        return 0

    @abstractmethod
    def build(self, context: Context, system: System) -> Dynamics:
        """The Dynamics for `system`.

        Raises:
            Refusal: if the pairing has no meaning.
        """

    def notes(self, footprint: Footprint, system: SystemOptions) -> tuple[str, ...]:
        """Lines for `glassyrun plan`."""
        return ()


class ObservableOptions(PluginOptions):
    """A table `[[observables]]`."""

    components: ClassVar[bool] = True
    """Whether x is read component by component; False where inner products of configurations are enough."""
    looks: ClassVar[bool] = True
    """Whether a reading looks at energies or gradients, beside the energy at the present x; False where it does not.

    Of a System that draws its disorder where it is looked at, such readings are taken when the trajectory is complete.
    """

    def companions(self, since: Sequence[int], until: Sequence[int]) -> tuple[int, int]:
        """How many trajectories of its own it evolves, and their steps together; by default none.

        For each waiting time, `since` and `until` are its step and that of its last lag.
        """
        return 0, 0

    name: Annotated[
        str | None,
        Field(
            description="name of the variable in the result, where it should differ from the kind",
            pattern=r"^[a-z][a-z0-9_]*$",
            max_length=80,
        ),
    ] = None

    @property
    def label(self) -> str:
        """What the result calls it."""
        return self.name or self.kind

    @abstractmethod
    def build(self, context: Context, system: System) -> Observable:
        """The Observable for `system`.

        Raises:
            Refusal: if the system has no such thing to measure.
        """


class DatasetOptions(PluginOptions):
    """The table `[system.data]` of a system that learns."""

    disordered: ClassVar[Any] = False
    """Whether the data differ from one disorder sample to the next, a bool; a property where it depends on options."""

    @abstractmethod
    def load(self, context: Context) -> LabelledData:
        """The data set, on the host.

        Raises:
            DataError: if it is absent, damaged or of the wrong shape.
        """


AnyDataset = SerializeAsAny[DatasetOptions]
"""The type of a field that takes any installed data set; the registry resolves its `kind`."""


def described(description: str, **constraints: Any) -> Any:
    """A field with a description (end it with the unit where there is one) and constraints."""
    return Field(description=description, **constraints)
