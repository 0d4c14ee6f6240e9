"""The magnetisation."""

from typing import Literal

from glassyrun import Observable, ObservableOptions, Variable


class MagnetisationOptions(ObservableOptions):
    """Magnetisation m(t) = (1/dof) Σ_i x_i(t)."""

    kind: Literal["magnetisation"] = "magnetisation"

    def build(self, context, system):
        return Magnetisation(self.label)


class Magnetisation(Observable):
    grid = "time"

    def __init__(self, label):
        self.label = label
        self.variables = {label: Variable("magnetisation per degree of freedom")}

    def read(self, now, then):
        return {self.label: now.state.x.double().mean(1)}
