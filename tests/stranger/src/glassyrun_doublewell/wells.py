"""Independent particles in double wells: the simplest disordered system whose equilibrium is known at every temperature."""

from typing import Annotated, Literal

import torch

from glassyrun import Evaluation, Footprint, State, System, SystemOptions, described, replica_normals


class DoubleWellOptions(SystemOptions):
    """Double wells in random fields: H = Σ_i [(x_i² − 1)²/4 − h_i x_i], h_i normal with mean `field`; one term a particle.

    The particles are independent, so that averages in equilibrium are one-dimensional integrals. The barrier at h = 0 is 1/4.
    """

    kind: Literal["double_well"] = "double_well"
    n: Annotated[int, described("number of particles", ge=1, le=10_000_000)]
    field: Annotated[float, described("mean of the fields h_i")] = 0.0
    disorder: Annotated[float, described("standard deviation of the fields h_i", ge=0)] = 0.5

    def footprint(self, context):
        return Footprint(self.n, self.n, self.n * context.dtype.itemsize, notes=("the barrier at h = 0 is 0.25",))

    def build(self, context):
        normal = context.stream("fields").normal((self.n,), dtype=context.dtype, device=context.device)
        return DoubleWells(self.field + self.disorder * normal)


class DoubleWells(System):
    """One realisation of the fields."""

    def __init__(self, fields):
        self.fields = fields
        self.dof = self.terms = len(fields)
        self.blocks = {"particles": slice(0, self.dof)}
        self.energy_scale = float(self.dof)
        self.provenance = {"fields": f"mean {float(fields.mean()):.6g} in this sample"}

    def initial(self, streams):
        """Every particle in one of its wells, with equal probability."""
        return State(torch.sign(replica_normals(streams, self.dof, self.fields)))

    def energy(self, state, terms=None):
        if terms is None:
            return self._energies(state.x, self.fields).sum(1)
        x, fields = state.x[:, terms], self.fields[terms]
        return self._energies(x, fields).sum(1) * (self.terms / len(terms))

    def gradient(self, state, batch=None):
        if batch is None:
            return Evaluation(self.energy(state), self._slopes(state.x, self.fields), state.system)
        x, fields, factor = state.x.gather(1, batch), self.fields[batch], self.terms / batch.shape[1]
        # scatter_add, because a batch drawn with replacement may hold a particle twice
        slope = torch.zeros_like(state.x).scatter_add(1, batch, factor * self._slopes(x, fields))
        return Evaluation(factor * self._energies(x, fields).sum(1), slope, state.system)

    @staticmethod
    def _energies(x, fields):
        return (x * x - 1) ** 2 / 4 - fields * x

    @staticmethod
    def _slopes(x, fields):
        return x * (x * x - 1) - fields
