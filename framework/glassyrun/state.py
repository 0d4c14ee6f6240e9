"""All that evolves, and what one look at the energy gives."""

from __future__ import annotations

import attrs
from jaxtyping import Float
from torch import Tensor

from glassyrun.errors import PluginError


@attrs.define
class State:
    """All that evolves, and nothing that does not (couplings and images belong to the System).

    `x` holds the degrees of freedom of all replicas, `system` the System's memory (batch-norm statistics, revealed
    disorder), `dynamics` the Dynamics' memory (momentum). A State is all that a checkpoint must hold.
    """

    x: Float[Tensor, "replica dof"]
    step: int = 0
    system: dict[str, Tensor] = attrs.field(factory=dict)
    dynamics: dict[str, Tensor] = attrs.field(factory=dict)

    @property
    def replicas(self) -> int:
        return self.x.shape[0]

    def copy(self) -> State:
        """An independent copy that may live on by itself."""
        return State(
            self.x.clone(),
            self.step,
            {name: value.clone() for name, value in self.system.items()},
            {name: value.clone() for name, value in self.dynamics.items()},
        )


@attrs.frozen
class Evaluation:
    """What one look at the energy gives: H (p-spin: total) or L (network: mean loss), as estimated from the terms looked at.

    `gradient` is the gradient of that same H or L; `memory` is the System's memory after looking, for the Dynamics to commit.
    """

    energy: Float[Tensor, " replica"]
    gradient: Float[Tensor, "replica dof"]
    memory: dict[str, Tensor] = attrs.field(factory=dict)

    def check(self, state: State) -> None:
        """Shapes that broadcasting would hide.

        Raises:
            PluginError: if energy or gradient are not of the State's shape.
        """
        if self.gradient.shape != state.x.shape or self.energy.shape != state.x.shape[:1]:
            raise PluginError(
                f"system: its plugin gave an energy of shape {tuple(self.energy.shape)} and a gradient of shape "
                f"{tuple(self.gradient.shape)} for x of shape {tuple(state.x.shape)}; mend the plugin"
            )
