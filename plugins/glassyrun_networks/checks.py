"""What a module must be to become a System, found out by looking at a few examples."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassyrun import DataError, LabelledData, Refusal
from glassyrun_networks.forward import OneByOne, forward_of
from glassyrun_networks.losses import Loss

SAME = 1e-4
"""Share of the largest output by which outputs may differ and be called the same, in float32."""


def refuse_labels(data: LabelledData) -> None:
    """Raises a DataError where a label is none of 0 … classes − 1."""
    for split, labels in (("training", data.train_y), ("test", data.test_y)):
        if labels is None or not len(labels):
            continue
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most >= data.classes:
            found = least if least < 0 else most
            raise DataError(
                f"system.data: found the label {found} in the {split} set, but with {data.classes} classes labels are "
                f"0 to {data.classes - 1}; mend the data set"
            )


def refuse_misfit(module: nn.Module, examples: Float[Tensor, "term ..."], loss: Loss, classes: int) -> None:
    """Raises a Refusal where `module` can't take `examples`, or does not give the outputs that the loss asks for.

    The module is looked at in evaluation mode and comes back in it.
    """
    shape, wanted = _shape(examples), loss.outputs(classes)
    try:
        with torch.no_grad():
            outputs = module.eval()(examples)
    except Exception as error:
        raise Refusal(
            f"the network does not fit the data: on inputs of {shape} it raised {type(error).__name__}: "
            f"{' '.join(str(error).split())}; change its layers or the data set"
        ) from error
    found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if found != (len(examples), wanted):
        each = f"one output for each of the {classes} classes" if wanted == classes else "one output, whose sign is the class"
        raise Refusal(
            f"the network does not fit the data: {len(examples)} inputs of {shape} gave outputs of shape {found}, but "
            f'{(len(examples), wanted)} was expected: with loss = "{loss.name}", {each}'
        )


def refuse_chance(module: nn.Module, examples: Float[Tensor, "term ..."]) -> None:
    """Raises a Refusal where a look at `examples` in training mode draws random numbers (Dropout and its like).

    The gradient is a pure function of state and batch; a module that rolls dice has none. Call it inside `scope.seeded`.
    """
    dice = [
        f"{type(part).__name__} {name!r}"
        for name, part in module.named_modules()
        if getattr(part, "p", 0) and "Drop" in type(part).__name__
    ]
    before = torch.default_generator.get_state()
    _train_outputs(module, examples)
    if dice or not torch.equal(before, torch.default_generator.get_state()):
        found = f"has {dice[0]}" if dice else "draws random numbers when it is called"
        raise Refusal(
            f"the network {found}, but its gradient must depend on nothing but weights and batch: take it out, or set its "
            "probability to 0, and use a dynamics with noise instead"
        )


def refuse_apart(module: nn.Module, examples: Float[Tensor, "term ..."]) -> None:
    """Raises a Refusal where replicas of `module` looked at together are not what each is by itself.

    Those of modules that branch on values can't be looked at together.
    """
    tensors = {name: value.detach().clone() for name, value in (*module.named_parameters(), *module.named_buffers())}
    two = {name: torch.stack((value, 0.5 * value if value.is_floating_point() else value)) for name, value in tensors.items()}
    inputs = examples.expand(2, *examples.shape)
    module.train()
    try:
        with torch.no_grad():
            alone = [OneByOne(module)({k: v[r : r + 1].clone() for k, v in two.items()}, inputs[:1])[0] for r in range(2)]
            outputs, _ = forward_of(module, together=True)({name: value.clone() for name, value in two.items()}, inputs)
        same = _alike(outputs, torch.cat(alone))
    except Exception as error:
        raise Refusal(
            f"the network can't be looked at for several replicas together, it raised {type(error).__name__}: "
            f"{' '.join(str(error).split())}; set together = False in its options"
        ) from error
    if not same:
        raise Refusal(
            "the network gives other outputs for several replicas together than for each by itself; set together = False in "
            "its options"
        )


def refuse_lone(together: int, field: str, found: int) -> None:
    """Raises a Refusal where as few as `together` examples, fewer than two, would be normalised over."""
    if together < 2:
        raise Refusal(
            f"{field}: found {found}, which leaves a single example by itself, but the network normalises over the examples "
            "that are looked at together (batch norm); make it larger, or take another norm"
        )


def mixes_examples(module: nn.Module, examples: Float[Tensor, "term ..."]) -> bool:
    """Whether the output for one example depends on which others are in its batch, as it does with batch norm."""
    together = _train_outputs(module, examples)
    apart = _train_outputs(module, examples[: len(examples) // 2])
    return not _alike(together[: len(apart)], apart)


def _alike(some: Tensor, others: Tensor) -> bool:
    """Equal up to rounding in float32, measured by the largest: sums of large numbers may cancel."""
    allowed = SAME * float(others.abs().max())
    return torch.allclose(some, others, rtol=0, atol=allowed if math.isfinite(allowed) else 0, equal_nan=True)


def _train_outputs(module: nn.Module, examples: Float[Tensor, "term ..."]) -> Float[Tensor, "term output"]:
    try:
        with torch.no_grad():
            outputs: Tensor = module.train()(examples)
    except Exception as error:
        raise Refusal(
            f"the network does not fit the data: on {len(examples)} inputs of {_shape(examples)} it raised "
            f"{type(error).__name__} in training mode: {' '.join(str(error).split())}; change its layers or the data set"
        ) from error
    return outputs


def _shape(examples: Float[Tensor, "term ..."]) -> str:
    return "×".join(str(side) for side in examples.shape[1:])
