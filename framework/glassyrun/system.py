"""A System: one realisation of the disorder and the energy it gives to a configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import attrs
from jaxtyping import Float, Int
from torch import Tensor

from glassyrun.manifold import Flat, Manifold
from glassyrun.state import Evaluation, State
from glassyrun.stream import Stream


class System(ABC):
    """One realisation of the disorder; immutable once built.

    The energy is a sum (H, p-spin) or a mean (L, network) over `terms`:

        H(x) = Σ_μ h_μ(x)        L(x) = (1/M) Σ_μ ℓ_μ(x)

    The terms are couplings in a glass and training examples in a network. A mini-batch looks at some of them and must be an
    unbiased estimate of the whole: factor M/B for a sum, plain mean for a mean.
    """

    dof: int
    """Number of degrees of freedom of one replica."""
    terms: int
    """Number of terms M of the energy; 0 where they aren't kept, and there is nothing to draw mini-batches from."""
    blocks: Mapping[str, slice] = {}
    """Named parts of x: the layers of a network, one block for a p-spin."""
    energy_scale: float = 1.0
    """The reported energy is H / energy_scale: N for spins, 1 for networks."""
    energy_name: str = "energy"
    """What the reported energy is, for labels: "energy per spin", "mean loss"."""
    bottom: float | None = None
    """The reported energy at the bottom of the landscape, where it is known: the ground state of a glass, 0 for a loss."""
    manifold: Manifold = Flat()
    capturable: bool = False
    """Whether `gradient` is its kernels and nothing else: no branch on the step or on numbers on the device, nothing drawn or kept outside
    the State. Of the class in which `gradient` is written, or one below it; see `Dynamics.capturable`."""
    provenance: Mapping[str, str] = {}
    """Where the disorder came from (source file, digest, …); written into the result's attributes."""
    warnings: Sequence[str] = ()
    """What the user must be told loudly, in the terminal and in the result."""

    @abstractmethod
    def initial(self, streams: Sequence[Stream]) -> State:
        """Starting configurations, one stream a replica; the same stream twice is the same start twice."""

    @abstractmethod
    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        """H or L in evaluation mode, from all terms or estimated from the given ones; touches nothing."""

    @abstractmethod
    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        """Energy and gradient from all terms or from one mini-batch a replica.

        Pure: the state is not touched; the Dynamics commits `Evaluation.memory`.
        """

    def own_threads(self, replicas: int) -> bool:
        """Whether gradients and energies are shared out over threads by the System itself, with `together`.

        Torch then keeps to one thread during the run: its own threads, which wait in a busy loop after each operation, would
        take the cores away.
        """
        return False

    def memory(self, state: State) -> dict[str, Tensor]:
        """The System's memory for a checkpoint, the State's by default.

        A System that draws its disorder where it is looked at gives all that it has drawn here.
        """
        return state.system

    def take_up(self, state: State) -> State:
        """Takes over a State that was committed, with the memory of its System; called before anything looks at it.

        Gives back the State to go on with, by default that State.

        Raises:
            Refusal: if the memory is not of this realisation of the disorder.
        """
        return state

    def work(self, steps: int) -> float:
        """What so many first steps cost, in units of their own: their number, unless a step costs more the later it is."""
        return float(steps)

    @property
    def degrees_of_freedom(self) -> int | float:
        """Those that the result tells of: `dof`, unless x holds other coordinates than the degrees of freedom."""
        return self.dof

    def recalibrated(self, state: State) -> State:
        """The same x with the memory that belongs to it, where memory lags behind (running statistics, recomputed).

        Touches nothing; here the State itself, as of every System whose energy depends on x alone.
        """
        return state


@attrs.define(slots=False)
class Tilted(System):
    """Any System in an external field: H − h·x.

    The linear response of x to h is what fluctuation-dissipation relations speak of (Cugliandolo and Kurchan, PRL 71, 173
    (1993)). `field` has one row a replica, or one row for all.
    """

    base: System
    field: Float[Tensor, "#replica dof"]

    def __attrs_post_init__(self) -> None:
        self.dof, self.terms, self.blocks = self.base.dof, self.base.terms, self.base.blocks
        self.energy_scale, self.manifold = self.base.energy_scale, self.base.manifold
        self.energy_name = self.base.energy_name
        self.provenance, self.warnings = self.base.provenance, self.base.warnings

    def initial(self, streams: Sequence[Stream]) -> State:
        return self.base.initial(streams)

    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        return self.base.energy(state, terms) - (state.x * self.field).sum(1)

    def own_threads(self, replicas: int) -> bool:
        return self.base.own_threads(replicas)

    def memory(self, state: State) -> dict[str, Tensor]:
        return self.base.memory(state)

    def take_up(self, state: State) -> State:
        return self.base.take_up(state)

    @property
    def degrees_of_freedom(self) -> int | float:
        return self.base.degrees_of_freedom

    def recalibrated(self, state: State) -> State:
        return self.base.recalibrated(state)

    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        bare = self.base.gradient(state, batch)
        return Evaluation(bare.energy - (state.x * self.field).sum(1), bare.gradient - self.field, bare.memory)
