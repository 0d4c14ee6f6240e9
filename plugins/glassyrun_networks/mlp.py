"""Fully connected networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from glassyrun import Refusal
from glassyrun_networks.options import NetworkOptions

if TYPE_CHECKING:
    from torch import nn


class MlpOptions(NetworkOptions):
    """A fully connected network: linear layers of the given widths, with an activation between them.

    The toy model of Baity-Jesi et al. (ICML 2018) is one hidden ReLU layer with output = "sigmoid" and loss = "squared_error".
    Without biases, ReLU networks of any depth are homogeneous: scaling the weights scales the outputs. Images are flattened,
    channel by channel. Replicas are looked at together, by batched matrix products.
    """

    together: ClassVar[bool] = True

    capturable: ClassVar[bool] = True
    kind: Literal["mlp"] = "mlp"
    widths: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...],
        Field(max_length=1000, strict=False, description="neurons of each hidden layer; [] is a linear classifier"),
    ] = (100,)
    activation: Annotated[
        Literal["relu", "tanh", "sigmoid", "erf", "gelu", "linear"], Field(description="of the hidden neurons")
    ] = "relu"
    bias: Annotated[bool, Field(description="whether layers have biases")] = True
    output: Annotated[
        Literal["linear", "sigmoid"], Field(description='of the last layer; sigmoid goes with loss = "squared_error"')
    ] = "linear"

    chunk: Annotated[
        int,
        Field(ge=1, description="most examples looked at together in a pass over many; a fixed number, and part of the result"),
    ] = 1000  # a pass over all of MNIST takes a sixth less than with 250

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        from glassyrun_networks.dense import Dense

        if self.output == "sigmoid" and self.loss != "squared_error":
            why = (
                "which takes the outputs as they are"
                if self.loss == "cross_entropy"
                else "which asks for outputs beyond 1 and −1"
            )
            raise Refusal(
                f'system.output: found "sigmoid" beside loss = "{self.loss}", {why}, so that it could never come near 0; '
                'take output = "linear", or loss = "squared_error"'
            )
        return Dense(math.prod(shape), self.widths, outputs, self.activation, self.bias, self.output == "sigmoid")
