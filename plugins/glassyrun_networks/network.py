"""A network and a data set as a System: the weights are the degrees of freedom, the training examples the terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from glassyrun import Context, Evaluation, LabelledData, Refusal, State, Stream, System
from glassyrun_networks import checks, curvature, running
from glassyrun_networks.forward import forward_of
from glassyrun_networks.initial import Initial
from glassyrun_networks.inputs import Inputs, example_shape
from glassyrun_networks.layout import Layout, refuse_strange
from glassyrun_networks.losses import LOSSES
from glassyrun_networks.scope import seeded
from glassyrun_networks.shares import Cut, Shares

PROBED = 4
"""Examples that a module is tried on when it is built."""
PIECE = 1 << 16
"""Degrees of freedom that are summed in float64 at a time."""

Split = Literal["train", "test"]


@attrs.frozen(eq=False)
class Reading:
    """Mean loss (nats for cross-entropy) and fraction of examples classified rightly."""

    loss: Float[Tensor, " replica"]
    accuracy: Float[Tensor, " replica"]


class Network(System):
    """A `torch.nn.Module` and a labelled data set; energy L = mean loss over the training examples + (λ/2)|x|².

    x[r] holds the parameters of replica r in torch's own order. The buffers of the module (batch-norm statistics) are the
    memory: `State.system[name]` of shape [replica, …]. All passes over many examples are cut into chunks of at most `chunk`,
    which are nearly equal and the same ones whatever the machine's memory.

    Where examples mix (batch norm), the gradient over all terms depends on that cut: it is drawn once from the seed, and one
    look updates the running statistics once, by the mean over its chunks. A mini-batch is then looked at as a whole,
    whatever its size; otherwise it is cut as well.
    """

    def __init__(
        self,
        make: Callable[[tuple[int, ...], int], nn.Module],
        data: LabelledData,
        context: Context,
        *,
        loss: str = "cross_entropy",
        l2: float = 0.0,
        initial: Initial = Initial(),  # noqa: B008 -- frozen
        together: bool = False,
        own_threads: bool = False,
        capturable: bool = False,
        chunk: int = 250,
    ) -> None:
        """
        Args:
            make: gives a freshly initialised module for examples of a shape, (channel, height, width) or (feature,), and a
                number of outputs; called in a scope in which torch's global generator is seeded.
            data: what it learns from; laid on the device once.
            context: seed, device and type.
            loss: a name in `glassyrun_networks.losses.LOSSES`.
            l2: λ of the penalty (λ/2)|x|², part of energy and gradient, not of the losses that `evaluate` gives.
            initial: the law of the initial weights.
            together: whether several replicas are looked at in one call, not one after another; the same numbers up to
                rounding.
            own_threads: whether the examples that one replica looks at are shared out over threads, where no layer mixes them.
            capturable: whether a call of the module is its kernels and nothing else; see `System.capturable`.
            chunk: most examples looked at together in a pass over many.

        Raises:
            Refusal: if the module does not fit the data, is stochastic (Dropout), has frozen parameters, or has parameters
                that the law of initial weights does not speak of.
            DataError: if a label is out of range.
        """
        checks.refuse_labels(data)
        shape, self._loss = example_shape(data), LOSSES[loss]
        outputs = self._loss.outputs(data.classes)
        self._capturable = capturable
        self._make, self._law = lambda: make(shape, outputs), initial
        self.energy_name, self.bottom = "mean loss + (λ/2)|x|²" if l2 else "mean loss", 0.0
        self._l2, self._chunk, self._dtype, self._device = l2, chunk, context.dtype, context.device
        self._parts = {"train": Inputs.place(data.train_x, data.train_y, data, context.device, context.dtype)}
        if data.test_x is not None and data.test_y is not None:
            self._parts["test"] = Inputs.place(data.test_x, data.test_y, data, context.device, context.dtype)
        module, self._mixes = self._examined(context, data, together)
        self._layout = Layout.of(module, initial.factors(module))
        self._forward = forward_of(module.to("meta"), together)  # weights come from the State: none are kept here
        by_itself = not together and context.device.type == "cpu"
        self._shares = Shares(replicas=by_itself, examples=by_itself and own_threads and not self._mixes)
        self.dof, self.blocks, self.terms = self._layout.dof, self._layout.blocks, len(self._parts["train"])
        self._order = self._drawn_order(context) if self._mixes else torch.arange(self.terms, device=self._device)
        if self._mixes:
            checks.refuse_lone(min(part.shape[1] for part in self._chunks(self._order.unsqueeze(0))), "system.chunk", chunk)
        cut = "in an order drawn from the seed" if self._mixes else "in the order of the data set"
        self.provenance = {
            **data.provenance,
            "network_loss": f"mean {loss}" + (f" + (λ/2)|x|², λ = {l2!r}" if l2 else ""),
            "network_chunk": f"passes over many examples look at no more than {chunk} together, {cut}",
            "network_replicas": "looked at together" if together else "each looked at by itself",
        }
        self.warnings = tuple(data.warnings)

    def _examined(self, context: Context, data: LabelledData, together: bool) -> tuple[nn.Module, bool]:
        """A module that was tried on a few examples, and whether it mixes them. Its parameters are never used."""
        with seeded(context.common_stream("skeleton")):
            module = self._fresh()
            some = Inputs.place(data.train_x[:PROBED], data.train_y[:PROBED], data, torch.device("cpu"), torch.float32)
            examples = some.take(torch.arange(len(some)))[0]
            checks.refuse_misfit(module, examples, self._loss, data.classes)
            checks.refuse_chance(module, examples)
            if together:
                checks.refuse_apart(module, examples)
            return module, len(some) > 1 and checks.mixes_examples(module, examples)

    def _fresh(self) -> nn.Module:
        module = self._make()
        if isinstance(module, nn.Module):  # anything else is told of later
            refuse_strange(module)
        self._law.draw(module)
        return module

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
        x = torch.empty(len(streams), self.dof, dtype=self._dtype, device=self._device)
        memories: list[dict[str, Tensor]] = []
        for row, stream in zip(x, streams, strict=True):
            with seeded(stream):
                module = self._fresh()
            row.copy_(self._layout.flat(module))
            memories.append(dict(module.to(self._device, self._dtype).named_buffers()))
        return State(x, system={name: torch.stack([memory[name] for memory in memories]) for name in memories[0]})

    @property
    def capturable(self) -> bool:
        """That of its module."""
        return self._capturable

    def own_threads(self, replicas: int) -> bool:
        return self._shares.examples or (self._shares.replicas and replicas > 1)

    def energy(self, state: State, terms: Int[Tensor, " term"] | None = None) -> Float[Tensor, " replica"]:
        loss = self.evaluate(state, "train", terms).loss
        return loss + self._penalty(state.x) if self._l2 else loss

    def evaluate(self, state: State, split: Split = "train", terms: Int[Tensor, " term"] | None = None) -> Reading:
        """Loss and accuracy in evaluation mode over a part of the data set, or over the given examples of it; float64.

        Raises:
            Refusal: if the data set has no such part.
        """
        if split not in self._parts:
            raise Refusal(f"the data set has no {split} part, so nothing can be read from it: leave the observable out")
        if terms is None:
            terms = self._order if split == "train" else torch.arange(self.size_of(split), device=self._device)
        chunks = self._chunks(terms.unsqueeze(0))
        found = self._shares.out(self, state, chunks, lambda network, some, cut: network._evaluate(some, split, cut))
        sums = [torch.stack(parts).sum(0) for parts, _ in found]
        loss, right = _joined(sums, dim=1) / len(terms)
        return Reading(loss, right)

    @torch.no_grad()
    def _evaluate(self, state: State, split: Split, chunks: Cut) -> Float[Tensor, "2 replica"]:
        """Sums of the loss and of what is right."""
        inputs = self._parts[split]
        self._set_mode(training=False)
        sums = loss, right = torch.zeros(2, state.replicas, dtype=torch.float64, device=self._device)
        groups = [
            (group, self._tensors(state, self._layout.weights(state.x[group]), group)) for group in self._groups(state, chunks)
        ]
        for chunk in chunks:
            seen, labels = inputs.take(chunk)
            for group, tensors in groups:
                outputs, _ = self._forward(tensors, seen)
                own = labels.expand(len(outputs), -1)
                loss[group] += self._loss.each(outputs, own).sum(1, dtype=torch.float64)
                right[group] += self._loss.right(outputs, own).sum(1)
        return sums

    def gradient(self, state: State, batch: Int[Tensor, "replica term"] | None = None) -> Evaluation:
        """See the base class.

        Raises:
            Refusal: if the examples of a batch are normalised together, and it has only one.
        """

        found = self._shares.out(self, state, self._cut(batch), Network._gradient)
        looks = [_mean(parts, sizes) for parts, sizes in found]
        memory = {name: _joined([look.memory[name] for look in looks]) for name in state.system}
        energy, gradient = _joined([look.energy for look in looks]), _joined([look.gradient for look in looks])
        if self._l2:
            return Evaluation(energy + self._penalty(state.x), gradient.add_(state.x, alpha=self._l2), memory)
        return Evaluation(energy, gradient, memory)

    def hessian_product(
        self, state: State, vectors: Float[Tensor, "replica dof"], batch: Int[Tensor, "replica term"] | None = None
    ) -> Float[Tensor, "replica dof"]:
        """∇²L v of each replica, of the loss as `gradient` looks at it; almost everywhere, so that kinks (ReLU, max-pool) have no part in it.

        Raises:
            Refusal: if the examples of a batch are normalised together, and it has only one.
        """
        bent = curvature.product(self, state, vectors, self._cut(batch))
        return bent.add_(vectors, alpha=self._l2) if self._l2 else bent

    def _gradient(self, state: State, cut: Cut) -> Evaluation:
        """Without the penalty."""
        self._set_mode(training=True)
        groups = self._groups(state, cut)
        if len(cut) == len(groups) == 1:
            energy, slopes, memory = self._look(state, groups[0], *self._parts["train"].take(cut[0]))
            return Evaluation(energy, torch.cat(slopes, dim=1), memory)
        return self._mean_look(state, cut, groups)

    def _mean_look(self, state: State, cut: Cut, groups: Sequence[slice]) -> Evaluation:
        """One look of all replicas at the mean over the parts of a cut."""
        energy = torch.zeros(state.replicas, dtype=torch.float64, device=self._device)
        gradient = torch.zeros_like(state.x)
        memory = {name: torch.zeros_like(value) for name, value in state.system.items()}
        for terms in cut:
            weight = terms.shape[1] / sum(part.shape[1] for part in cut)
            shared = self._parts["train"].take(terms) if len(terms) == 1 else None
            for group in groups:
                own, slopes, after = self._look(state, group, *(shared or self._parts["train"].take(terms[group])))
                energy[group] += weight * own
                for whole, slope in zip(self._layout.parts(gradient[group]), slopes, strict=True):
                    whole.add_(slope, alpha=weight)
                _blend({name: value[group] for name, value in memory.items()}, after, weight)
        return Evaluation(energy, gradient, memory)

    @torch.no_grad()
    def recalibrated(self, state: State) -> State:
        """The same x with running statistics recomputed over the training set, a mean over the fixed chunks.

        Evaluation mode then speaks of these weights; the statistics that run along with a trajectory lag behind, most of all
        early in a run. A State without running statistics is given back as it is.

        Raises:
            Refusal: if examples mix in a layer that keeps no running statistics of torch's own kind.
        """
        layers = running.keepers(self._forward.module)
        if not layers:
            if self._mixes:
                raise Refusal(
                    "the network normalises over a batch, but not by torch's batch norm with running statistics, so none can be "
                    "recomputed: leave recalibrate out"
                )
            return state
        self._set_mode(training=True)
        fresh = {name: torch.zeros_like(state.system[name]) for name in running.statistics_of(layers)}
        cut = self._chunks(self._order.unsqueeze(0))
        with running.unsmoothed(layers):
            for terms in cut:
                seen, _ = self._parts["train"].take(terms)
                for group in self._groups(state, cut):
                    tensors = self._tensors(state, self._layout.weights(state.x[group]), group, clone=True)
                    _, memory = self._forward(tensors, seen)
                    for name, value in fresh.items():
                        value[group].add_(memory[name], alpha=terms.shape[1] / self.terms)
        return State(state.x, state.step, {**state.system, **fresh}, state.dynamics)

    def _look(
        self, state: State, group: slice, seen: Float[Tensor, "..."], labels: Int[Tensor, "#some term"]
    ) -> tuple[Float[Tensor, " some"], Sequence[Float[Tensor, "some _"]], dict[str, Tensor]]:
        """One look of some replicas at examples, the same for all or own ones of each.

        Loss, its derivatives by each parameter (not copied into one vector yet: that is a large part of the memory of a
        large network), and the memory, which is new.
        """
        with torch.enable_grad():
            parts = [part.detach().requires_grad_() for part in self._layout.weights(state.x[group])]
            loss, memory = self._losses(state, parts, group, seen, labels)
            # no loss depends on another replica's weights: the gradient of the sum holds that of each
            slopes = torch.autograd.grad(loss.sum(), parts)
        return loss.detach().double(), slopes, {name: value.detach() for name, value in memory.items()}

    def _losses(
        self, state: State, parts: Sequence[Tensor], group: slice, seen: Float[Tensor, "..."], labels: Int[Tensor, "#some term"]
    ) -> tuple[Float[Tensor, " some"], dict[str, Tensor]]:
        """The mean loss of each of some replicas as a function of its parameters, and the memory after the look."""
        outputs, memory = self._forward(self._tensors(state, parts, group, clone=True), seen)
        return self._loss.each(outputs, labels.expand(len(outputs), -1)).mean(1), memory

    def _tensors(self, state: State, parts: Sequence[Tensor], group: slice, clone: bool = False) -> dict[str, Tensor]:
        """Parameters and buffers of some replicas by name, the buffers as copies where the module will write into them."""
        memory = {name: value[group].clone() if clone else value[group] for name, value in state.system.items()}
        return {**self._layout.named(parts), **memory}

    def _penalty(self, x: Float[Tensor, "replica dof"]) -> Float[Tensor, " replica"]:
        """(λ/2)|x|² in float64, in pieces: no copy of x in float64."""
        return 0.5 * self._l2 * sum(piece.double().square().sum(1) for piece in x.split(PIECE, dim=1))

    def _groups(self, state: State, cut: Sequence[Tensor]) -> list[slice]:
        return list(self._forward.groups(state.replicas, cut[0].shape[1], self._chunk))

    def _cut(self, batch: Int[Tensor, "replica term"] | None) -> Cut:
        """What is looked at, in parts that are looked at together; a part of one row is the same for all replicas."""
        if batch is None:
            return self._chunks(self._order.unsqueeze(0))
        if not self._mixes:
            return self._chunks(batch)
        checks.refuse_lone(batch.shape[1], "dynamics.batch_size", batch.shape[1])
        return (batch,)

    def _chunks(self, terms: Shaped[Tensor, "_ term"]) -> Cut:
        """Nearly equal parts of at most `chunk` terms: a rest of one image would be no batch for batch norm."""
        count = terms.shape[1]
        return (terms,) if count <= self._chunk else terms.tensor_split(-(-count // self._chunk), dim=1)

    def _set_mode(self, training: bool) -> None:
        if self._forward.module.training is not training:
            self._forward.module.train(training)


def _joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim)


def _mean(looks: Sequence[Evaluation], sizes: Sequence[int]) -> Evaluation:
    """The look at all terms from looks at parts of them, which leave no memory; always added in this order."""
    if len(looks) == 1:
        return looks[0]
    weights = [size / sum(sizes) for size in sizes]
    energy, gradient = looks[0].energy * weights[0], looks[0].gradient.mul_(weights[0])
    for look, weight in zip(looks[1:], weights[1:], strict=True):
        energy.add_(look.energy, alpha=weight)
        gradient.add_(look.gradient, alpha=weight)
    return Evaluation(energy, gradient, {})


def _blend(memory: dict[str, Tensor], found: dict[str, Tensor], weight: float) -> None:
    """Adds the share of one chunk to the memory after a look, in place.

    A count goes up by one a look, not by one a chunk; a running mean moves once, towards the mean over chunks.
    """
    for name, value in found.items():
        if value.is_floating_point():
            memory[name].add_(value, alpha=weight)
        else:
            memory[name].copy_(value)
