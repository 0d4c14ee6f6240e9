"""What every network's table `[system]` has, and what a new network must add to it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from glassyrun import AnyDataset, Footprint, SystemOptions

if TYPE_CHECKING:
    from torch import nn

    from glassyrun import Context, LabelledData
    from glassyrun_networks.network import Network


class NetworkOptions(SystemOptions):
    """A neural network on a labelled data set; the energy is the mean loss over the training examples.

    Your own module becomes a System in a few lines, in a package or in a file given to `--plugin`:

        from glassyrun_networks import NetworkOptions

        class Mine(NetworkOptions):
            '''One hidden layer of tanh.'''

            kind: Literal["mine"] = "mine"
            width: Annotated[int, Field(ge=1, description="neurons of the hidden layer")] = 50

            def module(self, shape, classes):
                first, last = nn.Linear(math.prod(shape), self.width), nn.Linear(self.width, classes)
                return nn.Sequential(nn.Flatten(), first, nn.Tanh(), last)

        @glassyrun.hookimpl
        def glassyrun_systems():
            return [Mine]

    Everything else is inherited: gradient and energy, initialisation by torch's own rules from the run's seed, one block a
    layer, batch norm's memory, test loss and accuracy. A module that rolls dice (Dropout) is refused.
    """

    disordered: ClassVar[bool] = False

    data: Annotated[AnyDataset, Field(description="the data set, a table with a kind of its own")]
    loss: Annotated[Literal["cross_entropy"], Field(description="loss of one example; the energy is the mean over all")] = (
        "cross_entropy"
    )
    chunk: Annotated[
        int,
        Field(
            ge=1,
            description="most examples looked at together in a pass over many; a fixed number, because the gradient over all "
            "terms of a network with batch norm depends on it",
        ),
    ] = 250

    @abstractmethod
    def module(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """A freshly initialised module: inputs [term, *shape] → outputs [term, classes].

        `shape` is (channel, height, width) of an image, or (feature,) of a vector. Called once for each start, with torch's
        global generator seeded.

        Raises:
            Refusal: if there is no such network for these inputs.
        """

    def build(self, context: Context) -> Network:
        """
        Raises:
            Refusal: if the module does not fit the data, is stochastic, or has frozen parameters.
            DataError: if the data set is absent, damaged or of the wrong shape.
        """
        from glassyrun_networks.network import Network

        return Network(self.module, self.data.load(context.child("data")), context, self.loss, self.chunk)

    def footprint(self, context: Context) -> Footprint:
        """Sizes, from the data set and a module that has no memory behind its weights."""
        from glassyrun_networks.inputs import held_bytes

        data = self.data.load(context.child("data"))
        dof, activations = self._sizes(context, data)
        passes = f"a reading over all terms looks at {len(data.train_y)} examples, {self.chunk} at a time"
        return Footprint(dof, len(data.train_y), held_bytes(data), activations, (passes,))

    def _sizes(self, context: Context, data: LabelledData) -> tuple[int, int]:
        """Degrees of freedom, and bytes that one look at a chunk takes."""
        import torch

        from glassyrun_networks.footprint import activation_bytes
        from glassyrun_networks.inputs import example_shape
        from glassyrun_networks.layout import Layout
        from glassyrun_networks.scope import seeded

        shape = example_shape(data)
        with seeded(context.common_stream("footprint")), torch.device("meta"):
            module = self.module(shape, data.classes)
        dof = Layout.of(module).dof
        kept = activation_bytes(module, (min(self.chunk, len(data.train_y)), *shape))
        return dof, (kept // 4 + 2 * dof) * context.dtype.itemsize

    def observables(self) -> tuple[str, ...]:
        return ("energy", "msd", "overlap", "test")
