"""A network and a data set as a System: the weights are the degrees of freedom, the training examples the terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from glassyrun import Context, Evaluation, LabelledData, Refusal, State, Stream, System
from glassyrun_networks import checks
from glassyrun_networks.inputs import Inputs, example_shape
from glassyrun_networks.layout import Layout
from glassyrun_networks.losses import LOSSES
from glassyrun_networks.scope import seeded

PROBED = 4
"""Images that a module is tried on when it is built."""

Split = Literal["train", "test"]


@attrs.frozen(eq=False)
class Reading:
    """Mean loss (nats for cross-entropy) and fraction of examples classified rightly."""

    loss: Float[Tensor, " replica"]
    accuracy: Float[Tensor, " replica"]


class Network(System):
    """A `torch.nn.Module` and a labelled data set; energy L = mean loss over the training examples.

    x[r] holds the parameters of replica r in torch's own order. The buffers of the module (batch-norm statistics) are the
    memory: `State.system[name]` of shape [replica, …]. All passes over many examples are cut into chunks of at most `chunk`,
    which are nearly equal and the same ones whatever the machine's memory.

    Where examples mix (batch norm), the gradient over all terms depends on that cut: it is drawn once from the seed, and one
    look updates the running statistics once, by the mean over its chunks. A mini-batch is then looked at as a whole,
    whatever its size; otherwise it is cut as well.
    """

    energy_name = "mean loss"

    def __init__(
        self,
        make: Callable[[tuple[int, ...], int], nn.Module],
        data: LabelledData,
        context: Context,
        loss: str = "cross_entropy",
        chunk: int = 250,
    ) -> None:
        """
        Args:
            make: gives a freshly initialised module for examples of a shape, (channel, height, width), and a number of
                classes; called in a scope in which torch's global generator is seeded.
            data: what it learns from; laid on the device once.
            context: seed, device and type.
            loss: a name in `glassyrun_networks.losses.LOSSES`.
            chunk: most examples looked at together in a pass over many.

        Raises:
            Refusal: if the module does not fit the data, is stochastic (Dropout), or has frozen parameters.
        """
        self._make = lambda: make(example_shape(data), data.classes)
        self._loss, self._chunk, self._dtype, self._device = LOSSES[loss], chunk, context.dtype, context.device
        self._parts = {"train": Inputs.place(data.train_x, data.train_y, data, context.device, context.dtype)}
        if data.test_x is not None and data.test_y is not None:
            self._parts["test"] = Inputs.place(data.test_x, data.test_y, data, context.device, context.dtype)
        self._module, self._mixes = self._examined(context, data)
        self._layout = Layout.of(self._module)
        self._module.to(context.device, context.dtype)
        self.dof, self.blocks, self.terms = self._layout.dof, self._layout.blocks, len(self._parts["train"])
        self._order = self._drawn_order(context) if self._mixes else torch.arange(self.terms, device=self._device)
        cut = "in an order drawn from the seed" if self._mixes else "in the order of the data set"
        self.provenance = {
            **data.provenance,
            "network_loss": f"mean {loss}",
            "network_chunk": f"passes over many examples look at no more than {chunk} together, {cut}",
        }
        self.warnings = tuple(data.warnings)

    def _examined(self, context: Context, data: LabelledData) -> tuple[nn.Module, bool]:
        """A module that was tried on a few images, and whether it mixes examples. Its parameters are never used."""
        with seeded(context.common_stream("skeleton")):
            module = self._make()
            some = Inputs.place(data.train_x[:PROBED], data.train_y[:PROBED], data, torch.device("cpu"), torch.float32)
            images = some.take(torch.arange(len(some)))[0]
            checks.refuse_misfit(module, images, data.classes)
            checks.refuse_chance(module, images)
            return module, checks.mixes_examples(module, images)

    def _drawn_order(self, context: Context) -> Int[Tensor, " term"]:
        order = context.common_stream("cut").numpy().permutation(self.terms)
        return torch.from_numpy(order).to(self._device)

    @property
    def device(self) -> torch.device:
        """Where weights and data lie."""
        return self._device

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts of the data set that there are: "train", and "test" where it has one."""
        return tuple(self._parts)

    def size_of(self, split: Split) -> int:
        """Number of examples in a part of the data set."""
        return len(self._parts[split])

    def initial(self, streams: Sequence[Stream]) -> State:
        rows: list[Tensor] = []
        memories: list[dict[str, Tensor]] = []
        for stream in streams:
            with seeded(stream):
                module = self._make()
            rows.append(self._layout.flat(module).to(self._device, self._dtype))
            module.to(self._device, self._dtype)
            memories.append(dict(module.named_buffers()))
        return State(torch.stack(rows), system=_stacked(memories))

    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        return self.evaluate(state, "train", terms).loss

    @torch.no_grad()
    def evaluate(self, state: State, split: Split = "train", terms: Int[Tensor, " term"] | None = None) -> Reading:
        """Loss and accuracy in evaluation mode over a part of the data set, or over the given examples of it; float64.

        Raises:
            Refusal: if the data set has no such part.
        """
        inputs = self._parts.get(split)
        if inputs is None:
            raise Refusal(f"the data set has no {split} part, so nothing can be read from it: leave the observable out")
        self._set_mode(training=False)
        if terms is None:
            terms = self._order if split == "train" else torch.arange(len(inputs), device=self._device)
        loss, right = torch.zeros(2, state.replicas, dtype=torch.float64, device=self._device)
        replicas = [self._tensors(row, state, r) for r, row in enumerate(state.x)]
        for chunk in self._chunks(terms):
            seen, labels = inputs.take(chunk)
            for r, tensors in enumerate(replicas):
                outputs = functional_call(self._module, tensors, (seen,))
                loss[r] += self._loss(outputs, labels).sum(dtype=torch.float64)
                right[r] += (outputs.argmax(1) == labels).sum()
        return Reading(loss / len(terms), right / len(terms))

    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        self._set_mode(training=True)
        looks = [self._look(state, r, self._cut(None if batch is None else batch[r])) for r in range(state.replicas)]
        return Evaluation(
            _stack([look.energy for look in looks]),
            _stack([look.gradient for look in looks]),
            _stacked([look.memory for look in looks]),
        )

    def _look(self, state: State, r: int, chunks: Sequence[Int[Tensor, " _"]]) -> Evaluation:
        """One look of replica `r` at the mean over `chunks`; no dimension `replica` in what comes out."""
        if len(chunks) == 1:
            return self._look_at(state, r, chunks[0])
        total = sum(len(chunk) for chunk in chunks)
        energy = state.x.new_zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(state.x[r])
        memory: dict[str, Tensor] = {}
        for chunk in chunks:
            weight, look = len(chunk) / total, self._look_at(state, r, chunk)
            energy += weight * look.energy
            gradient.add_(look.gradient, alpha=weight)
            # A count goes up by one a look, not by one a chunk; a running mean moves once, towards the mean over chunks.
            for name, value in look.memory.items():
                old = memory.get(name)
                if not value.is_floating_point():
                    memory[name] = value
                else:
                    memory[name] = weight * value if old is None else old.add_(value, alpha=weight)
        return Evaluation(energy, gradient, memory)

    def _look_at(self, state: State, r: int, terms: Int[Tensor, " term"]) -> Evaluation:
        with torch.enable_grad():
            row = state.x[r].detach().requires_grad_()
            tensors = self._tensors(row, state, r, clone=True)
            seen, labels = self._parts["train"].take(terms)
            loss = self._loss(functional_call(self._module, tensors, (seen,)), labels).mean()
            (gradient,) = torch.autograd.grad(loss, row)
        return Evaluation(loss.detach(), gradient, {name: tensors[name].detach() for name in state.system})

    def _tensors(self, row: Float[Tensor, " dof"], state: State, r: int, clone: bool = False) -> dict[str, Tensor]:
        """Parameters and buffers of replica `r` by name, the buffers as copies where the module will write into them."""
        memory = {name: value[r].clone() if clone else value[r] for name, value in state.system.items()}
        return {**self._layout.views(row), **memory}

    def _cut(self, batch: Int[Tensor, " term"] | None) -> Sequence[Int[Tensor, " _"]]:
        if batch is None:
            return self._chunks(self._order)
        return (batch,) if self._mixes else self._chunks(batch)

    def _chunks(self, terms: Int[Tensor, " term"]) -> Sequence[Int[Tensor, " _"]]:
        """Nearly equal parts of at most `chunk` terms: a rest of one image would be no batch for batch norm."""
        return (terms,) if len(terms) <= self._chunk else terms.tensor_split(-(-len(terms) // self._chunk))

    def _set_mode(self, training: bool) -> None:
        if self._module.training is not training:
            self._module.train(training)


def _stack(rows: Sequence[Tensor]) -> Tensor:
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(tuple(rows))


def _stacked(memories: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: _stack([memory[name] for memory in memories]) for name in memories[0]}
