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

            def module(self, shape, outputs):
                first, last = nn.Linear(math.prod(shape), self.width), nn.Linear(self.width, outputs)
                return nn.Sequential(nn.Flatten(), first, nn.Tanh(), last)

        @glassyrun.hookimpl
        def glassyrun_systems():
            return [Mine]

    Everything else is inherited: losses, L2, initial weights from the run's seed, gradient and energy, one block a layer,
    batch norm's memory, test loss and accuracy. A module that rolls dice (Dropout) is refused.
    """

    disorder_from: ClassVar[str] = (
        "data that differ from sample to sample are a disorder (system.data.per_sample = true with a subset or random labels, or a data "
        "set that is drawn)"
    )
    together: ClassVar[bool] = False
    """Whether several replicas are looked at in one call (`torch.vmap`), not one after another; the same numbers up to rounding.

    Small dense networks gain from it, convolutions lose.
    """
    own_threads: ClassVar[bool] = False
    """Whether the module shares the work of one replica out over threads itself, by `glassyrun.together`."""
    capturable: ClassVar[bool] = False
    """Whether a call of the module is its kernels and nothing else, so that a GPU may replay it: it keeps nothing from call to call but its
    parameters and buffers, no table for the last size of a batch either, and branches on no number. See `System.capturable`."""

    data: Annotated[AnyDataset, Field(description="the data set, a table with a kind of its own")]
    loss: Annotated[
        Literal["cross_entropy", "squared_error", "hinge", "squared_hinge"],
        Field(
            description="loss of one example; the energy is the mean over all. cross_entropy: in nats; squared_error: to the "
            "one-hot label, averaged over the classes; hinge: max(0, 1 − y f) with y = ±1, and squared_hinge: its square; with two "
            "classes a network has one output f under a hinge, with more each class stands against the rest, averaged over the classes"
        ),
    ] = "cross_entropy"
    l2: Annotated[
        float, Field(ge=0, description="λ of a penalty (λ/2)|x|² that is part of the energy, but not of train and test loss")
    ] = 0.0
    init: Annotated[
        Literal["torch", "he", "uniform", "ntk"],
        Field(
            description="law of the initial weights. torch: the module's own; he: N(0, 2/fan_in), biases 0; uniform: weights and "
            "biases in (−a, a), a = init_scale; ntk: weights and biases N(0, 1), and each weight is multiplied by 1/√fan_in where it is "
            "used, which changes the dynamics as well. Norm layers begin with scale 1 and shift 0"
        ),
    ] = "torch"
    init_scale: Annotated[float, Field(gt=0, description="what the initial weights and biases are multiplied by")] = 1.0
    chunk: Annotated[
        int,
        Field(
            ge=1,
            description="most examples looked at together in a pass over many; a fixed number, because the gradient over all "
            "terms of a network with batch norm depends on it",
        ),
    ] = 250

    @property
    def disordered(self) -> bool:
        """Samples differ where the data set does."""
        return self.data.disordered

    @abstractmethod
    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """A freshly initialised module: inputs [term, *shape] → outputs [term, outputs].

        `shape` is (channel, height, width) of an image, or (feature,) of a vector; `outputs` is the number of classes, or 1
        where the loss has two classes share an output. Called once for each start, with torch's global generator seeded.

        Raises:
            Refusal: if there is no such network for these inputs.
        """

    def build(self, context: Context) -> Network:
        """
        Raises:
            Refusal: if the module does not fit the data, is stochastic, or has frozen parameters.
            DataError: if the data set is absent, damaged or of the wrong shape.
        """
        from glassyrun.graphs import says_capturable
        from glassyrun_networks.initial import Initial
        from glassyrun_networks.network import Network

        return Network(
            self.module,
            self.data.load(context.child("data")),
            context,
            loss=self.loss,
            l2=self.l2,
            initial=Initial(self.init, self.init_scale),
            together=self.together,
            own_threads=self.own_threads,
            capturable=says_capturable(self, "module"),
            chunk=self.chunk,
        )

    def footprint(self, context: Context) -> Footprint:
        """Sizes, from the data set and a module that has no memory behind its weights."""
        from glassyrun import thread_count
        from glassyrun_networks.forward import TOGETHER
        from glassyrun_networks.inputs import held_bytes

        data = self.data.load(context.child("data"))
        dof, activations = self._sizes(context, data)
        at_once = TOGETHER if self.together else thread_count() if context.device.type == "cpu" else 1
        notes = [
            f"a reading over all terms looks at {len(data.train_y)} examples, {self.chunk} at a time",
            f"up to {at_once} {'replicas are' if at_once > 1 else 'replica is'} looked at at once, each of which takes about "
            f"{activations / 1e6:.3g} MB meanwhile",
        ]
        return Footprint(dof, len(data.train_y), held_bytes(data), activations, tuple(notes), at_once)

    def _sizes(self, context: Context, data: LabelledData) -> tuple[int, int]:
        """Degrees of freedom, and bytes that one look of a replica at a chunk takes."""
        import torch

        from glassyrun_networks.footprint import activation_bytes
        from glassyrun_networks.inputs import example_shape
        from glassyrun_networks.layout import Layout
        from glassyrun_networks.losses import LOSSES
        from glassyrun_networks.scope import seeded

        shape = example_shape(data)
        with seeded(context.common_stream("footprint")), torch.device("meta"):
            module = self.module(shape, LOSSES[self.loss].outputs(data.classes))
        dof = Layout.of(module).dof
        kept = activation_bytes(module, shape, min(self.chunk, len(data.train_y)))
        return dof, (kept // 4 + 2 * dof) * context.dtype.itemsize

    def observables(self) -> tuple[str, ...]:
        return ("energy", "msd", "overlap", "test")
