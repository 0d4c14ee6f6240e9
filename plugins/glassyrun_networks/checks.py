"""What a module must be to become a System, found out by looking at a few images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassyrun import Refusal


def refuse_misfit(module: nn.Module, images: Float[Tensor, "term ..."], classes: int) -> None:
    """Raises a Refusal where `module` can't take `images`, or does not give one output a class.

    The module is looked at in evaluation mode and comes back in it.
    """
    shape = "×".join(str(side) for side in images.shape[1:])
    try:
        with torch.no_grad():
            outputs = module.eval()(images)
    except Exception as error:
        raise Refusal(
            f"the network does not fit the data: on inputs of {shape} it raised {type(error).__name__}: "
            f"{' '.join(str(error).split())}; change its layers or the data set"
        ) from error
    found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if found != (len(images), classes):
        raise Refusal(
            f"the network does not fit the data: {len(images)} inputs of {shape} gave outputs of shape {found}, but "
            f"{(len(images), classes)} was expected, one output for each of the {classes} classes"
        )


def refuse_chance(module: nn.Module, images: Float[Tensor, "term ..."]) -> None:
    """Raises a Refusal where a look at `images` in training mode draws random numbers (Dropout and its like).

    The gradient is a pure function of state and batch; a module that rolls dice has none. Call it inside `scope.seeded`.
    """
    dice = [
        f"{type(part).__name__} {name!r}"
        for name, part in module.named_modules()
        if getattr(part, "p", 0) and "Drop" in type(part).__name__
    ]
    before = torch.default_generator.get_state()
    _train_outputs(module, images)
    if dice or not torch.equal(before, torch.default_generator.get_state()):
        found = f"has {dice[0]}" if dice else "draws random numbers when it is called"
        raise Refusal(
            f"the network {found}, but its gradient must depend on nothing but weights and batch: take it out, or set its "
            "probability to 0, and use a dynamics with noise instead"
        )


def mixes_examples(module: nn.Module, images: Float[Tensor, "term ..."]) -> bool:
    """Whether the output for one image depends on which others are in its batch, as it does with batch norm."""
    together = _train_outputs(module, images)
    apart = _train_outputs(module, images[: len(images) // 2])
    return not torch.allclose(together[: len(apart)], apart, rtol=1e-3, atol=1e-5)


def _train_outputs(module: nn.Module, images: Float[Tensor, "term ..."]) -> Float[Tensor, "term class"]:
    with torch.no_grad():
        outputs: Tensor = module.train()(images)
    return outputs
