"""The table `[system]` of a spherical p-spin."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

import glassyrun
from glassyrun import Context, Footprint, Refusal, Solver, System, SystemOptions
from glassyrun_pspin import theory
from glassyrun_pspin.build import build, size_of
from glassyrun_pspin.checks import MOST_DEGREE, fault_of_lazy, fault_of_mixture, fault_of_model
from glassyrun_pspin.lazy.build import MOST_AXES, build_lazy, lazy_footprint
from glassyrun_pspin.lazy.size import Size
from glassyrun_pspin.meanfield.solver import MeanField
from glassyrun_pspin.model import Model


def _finite_or_none(value: Any) -> Any:
    """`inf` and "inf" are the random start, as if nothing were given."""
    return None if value in (math.inf, "inf") else value


LAZY = ("coordinates", "axes", "pivot_tolerance", "direction_tolerance")
"""Fields that only disorder = "lazy" has."""


THEORY_BYTES = 500_000_000
"""What solving the equations takes at most, about (docs/theory.md)."""


def _limit(value: Any) -> Any:
    """ "inf" is the limit, as `inf` is."""
    return math.inf if value == "inf" else value


def _whole(value: float) -> float:
    """1e12, which TOML reads as a float, is a number of spins as well."""
    return int(value) if math.isfinite(value) and value.is_integer() else value


def _text_keys(value: Any) -> Any:
    """TOML's keys are strings; Python callers may write numbers."""
    return {str(key): a for key, a in value.items()} if isinstance(value, dict) else value


class PSpinOptions(SystemOptions):
    """The spherical p-spin: H = −Σ J σ…σ on Σσ² = N, Cov[H, H′] = N·½ Σ a_p² q^p.

    The energy is reported per spin. In this unit p = 3 has T_d = √(3/8) = 0.612 and the threshold energy −1.1547. The terms
    are the couplings: a mini-batch looks at some of them.
    """

    kind: Literal["pspin"] = "pspin"
    n: Annotated[float, BeforeValidator(_limit), AfterValidator(_whole)] = Field(
        ge=2,
        allow_inf_nan=True,
        description='number of spins N: up to 10^6; up to 10^15 with disorder = "lazy"; inf: the limit, by the equations of Cugliandolo and '
        'Kurchan, or with disorder = "lazy" by a trajectory',
    )
    p: int | None = Field(
        None, ge=2, le=MOST_DEGREE, description="spins in one product; default 3. For several at once give `mixture` instead"
    )
    mixture: Annotated[dict[str, float] | None, BeforeValidator(_text_keys)] = Field(
        None, min_length=1, description="H = Σ a_p H_p as a table p → a_p, for example { 3 = 1.0, 4 = 0.5 }; excludes `p`"
    )
    couplings: Literal["gaussian", "binary"] = Field(
        "gaussian", description="law of a coupling: normal, or ±1 times its standard deviation"
    )
    diagonals: bool = Field(
        True,
        description="whether the same spin may occur twice in a product (rotation invariant, the default), or only i1 < … < ip",
    )
    dilution: int | float | None = Field(
        None,
        gt=0,
        description="keep only M random couplings without repeated spins: an integer is M, a float multiplies N^(p−1); "
        "at least 2.0",
    )
    disorder: Literal["full", "lazy"] = Field(
        "full",
        description="full: all couplings are drawn and kept. lazy: only that part of them is drawn which the trajectory looks at, as it "
        "looks, with the same law; neither memory nor time depend on N",
    )
    coordinates: Literal["overlaps", "spins"] | None = Field(
        None,
        description="lazy: overlaps, the default: x holds what inner products of configurations need, whatever N is. spins: x is σ, "
        "for observables that read it spin by spin, N up to 10^8",
    )
    axes: int | None = Field(
        None,
        ge=2,
        le=MOST_AXES,
        description="lazy: coordinates that x has room for; default: enough for the run. A run whose horizon shall grow needs more",
    )
    pivot_tolerance: float | None = Field(
        None,
        gt=0,
        le=1e-3,
        description="lazy: variance of a force that counts as none, relative to that of a force of which nothing is known; "
        "default 1e-7, 1e-12 for p = 2",
    )
    direction_tolerance: float | None = Field(
        None,
        gt=0,
        le=1e-2,
        description="lazy: part of a configuration outside the span of all others that is left out, relative to its length; default 1e-9",
    )
    initial_temperature: Annotated[float | None, BeforeValidator(_finite_or_none)] = Field(
        None,
        gt=0,
        description="temperature T_i at which the start is in equilibrium (planted, shared by all replicas of a sample); "
        "absent or inf: a random start",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, table: Any) -> Any:
        """Defaults that depend on other fields, written out, so that a resolved spec says what was run."""
        if not isinstance(table, dict):
            return table
        table = dict(table)
        if table.get("mixture") is None and table.get("p") is None:
            table["p"] = 3
        if table.get("dilution") is not None:
            table.setdefault("diagonals", False)
        if table.get("disorder") == "lazy":
            degrees = table.get("mixture") or {str(table.get("p")): 1.0}
            linear = isinstance(degrees, dict) and all(str(p) == "2" for p in degrees)
            for field, value in (("pivot_tolerance", 1e-12 if linear else 1e-7), ("direction_tolerance", 1e-9)):
                if table.get(field) is None:
                    table[field] = value
            if table.get("coordinates") is None:
                table["coordinates"] = "overlaps"
        return table

    @field_validator("mixture", mode="after")
    @classmethod
    def _degrees(cls, mixture: dict[str, float] | None) -> dict[str, float] | None:
        fault = fault_of_mixture(mixture or {})
        if fault:
            raise ValueError(fault)
        return mixture

    @model_validator(mode="after")
    def _sensible(self) -> PSpinOptions:
        if self.p is not None and self.mixture is not None:
            raise ValueError(
                f"p = {self.p} beside mixture: expected one of the two; leave p out, or make it a degree of the mixture"
            )
        given = [field for field in LAZY if getattr(self, field) is not None]
        if self.coordinates == "spins" and self.axes is not None:
            raise ValueError(
                f'axes = {self.axes} with coordinates = "spins", where there is one axis a spin: leave one of them out'
            )
        fault = fault_of_lazy(self.model, self.lazy, given) or fault_of_model(self.model)
        if fault:
            raise ValueError(fault)
        return self

    @property
    def lazy(self) -> bool:
        """Whether the disorder is drawn where the dynamics looks."""
        return self.disorder == "lazy"

    @property
    def reveals(self) -> bool:
        return self.lazy

    @property
    def theory(self) -> bool:
        """Whether no system is run at all, but the equations of the limit are solved."""
        return math.isinf(self.n) and not self.lazy

    @property
    def coefficients(self) -> dict[int, float]:
        """a_p of each degree, ascending."""
        if self.mixture is None:
            return {self.p or 3: 1.0}
        return {int(p): a for p, a in sorted(self.mixture.items(), key=lambda item: int(item[0]))}

    @property
    def model(self) -> Model:
        """The same as a run-time value."""
        binary = self.couplings == "binary"
        return Model(self.n, self.coefficients, binary, self.diagonals, self.dilution, self.initial_temperature)

    def footprint(self, context: Context) -> Footprint:
        if self.lazy:
            return lazy_footprint(self.model, self._room(context), context, self._notes())
        if self.theory:
            return Footprint(
                1, 0, THEORY_BYTES, 0, ("no system is run: the two-time equations of the limit are solved", *self._notes())
            )
        terms, held, transient = size_of(self.model, context)
        return Footprint(self.n, terms, held, transient, self._notes())

    def build(self, context: Context) -> System:
        if self.theory:
            raise Refusal("system.n = inf: there is no system to run, only equations to solve; give system.n a number")
        if self.lazy:
            return build_lazy(self.model, self._room(context), self.pivot_tolerance, self.direction_tolerance, context)
        try:
            return build(self.model, context)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error).lower() and "memory" not in str(error).lower():
                raise
            need = self.footprint(context).bytes
            raise Refusal(
                f"system.n = {self.n}: the couplings take {need / 1e9:.3g} GB, which {context.device} did not give; "
                "take a smaller n, float32, or dilution"
            ) from error

    def _room(self, context: Context) -> int | None:
        """Axes that x has room for; None for one a spin."""
        if self.coordinates == "spins":
            return None
        return int(min(self.n, self.axes or Size(self.coefficients, self.n, context.journey).room()))

    def run_needs(self) -> dict[str, str]:
        return {"dtype": "float64", "device": "cpu"} if self.lazy else {}

    def solver(self) -> Solver:
        return MeanField() if self.theory else super().solver()

    def always_measured(self) -> tuple[str, ...]:
        if self.lazy:
            return ("energy",)  # what it reveals is part of the trajectory, whoever reads it
        return ("participation",) if self.dilution is not None else ()

    def stable_step(self) -> float:
        """2/λ_max with λ_max = 4√f″(1), the upper edge of the Hessian on the sphere at the threshold energy: 0.289 for p = 3."""
        return theory.stable_step(self.coefficients)

    def minibatch_temperature(self, time_step: float, excess: float) -> float:
        """T_eff = α (p/4)(M/B − 1), p weighted with a_p² in a mixture: how hot mini-batches of B of M couplings are."""
        strength = sum(p * a * a for p, a in self.coefficients.items())
        return theory.minibatch_temperature(strength, time_step, excess)

    def _notes(self) -> tuple[str, ...]:
        if self.initial_temperature is None:
            return ()
        told = f"planted start at T_i = {self.initial_temperature:g}, shared by all replicas of a sample"
        if self.couplings == "binary":
            return (told,)  # the mean energy has no closed form: tanh saturates
        distinct = None if self.diagonals or math.isinf(self.n) else int(self.n)
        energy = theory.planted_energy(self.coefficients, self.initial_temperature, distinct, self.dilution is not None)
        return (f"{told}: energy {energy:.4f}",)


@glassyrun.hookimpl
def glassyrun_systems() -> list[type[SystemOptions]]:
    return [PSpinOptions]
