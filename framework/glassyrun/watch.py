"""Looks after a run on the device: the first step at which something went wrong."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

TOLERANCE = 1e-4
"""Rise of the energy, relative to the largest |energy| seen, that is taken for rounding."""


@attrs.define(eq=False)
class Watch:
    """Keeps the first bad step of each replica without asking the host.

    Bad is an energy that is NaN or infinite, and, where the dynamics can only descend, one that rises: on a sphere nothing
    ever overflows, so that a rising energy is the only sign of too large a time step.
    """

    descends: bool
    first_bad: Int[Tensor, " replica"]
    """The step whose look was bad; −1 if none was."""
    last: Float[Tensor, " replica"]
    largest: Float[Tensor, " replica"]
    energy: Float[Tensor, " replica"]
    """The energy of the first bad look."""
    shown: Float[Tensor, " replica"]
    """The energy of the newest look, for the progress bar."""

    @classmethod
    def over(cls, x: Float[Tensor, "replica dof"], descends: bool) -> Watch:
        first_bad = torch.full((x.shape[0],), -1, dtype=torch.int64, device=x.device)
        unknown = torch.full((x.shape[0],), torch.inf, dtype=torch.float64, device=x.device)
        return cls(descends, first_bad, unknown, torch.zeros_like(unknown), torch.zeros_like(unknown), unknown)

    def begin(self, descends: bool) -> None:
        """Another dynamics takes over: what an energy may do is up to it, and what the last one saw is no measure."""
        self.descends = descends
        self.last, self.largest = torch.full_like(self.last, torch.inf), torch.zeros_like(self.largest)

    def look(self, energy: Float[Tensor, " replica"], step: int) -> None:
        """Takes note of the energy at the start of step `step`; no host synchronisation."""
        energy = self.shown = energy.double()
        bad = ~torch.isfinite(energy)
        if self.descends:
            self.largest = torch.maximum(self.largest, energy.abs())
            bad |= energy > self.last + TOLERANCE * self.largest
            self.last = energy
        fresh = bad & (self.first_bad < 0)
        self.first_bad = torch.where(fresh, step, self.first_bad)
        self.energy = torch.where(fresh, energy, self.energy)

    def looks(self, energies: Float[Tensor, "step replica"], begin: int) -> None:
        """The same as a `look` at each row, of the steps from `begin` on."""
        energies = energies.double()
        bad = ~torch.isfinite(energies)
        if self.descends:
            largest = torch.cat([self.largest.unsqueeze(0), energies.abs()]).cummax(0).values[1:]
            bad |= energies > torch.cat([self.last.unsqueeze(0), energies[:-1]]) + TOLERANCE * largest
            self.largest, self.last = largest[-1].clone(), energies[-1].clone()  # views would keep all rows
        self.shown = energies[-1].clone()
        rows = torch.arange(len(energies), device=energies.device).unsqueeze(1)
        first = torch.where(bad, rows, len(energies)).amin(0)
        fresh = (first < len(energies)) & (self.first_bad < 0)
        self.first_bad = torch.where(fresh, begin + first, self.first_bad)
        found = energies.gather(0, first.clamp(max=len(energies) - 1).unsqueeze(0)).squeeze(0)
        self.energy = torch.where(fresh, found, self.energy)

    def verdict(self) -> tuple[int, int, float] | None:
        """Replica, first bad step and its energy, for the replica that went wrong first; synchronises with the device."""
        steps = self.first_bad.tolist()
        bad = [(step, replica) for replica, step in enumerate(steps) if step >= 0]
        if not bad:
            return None
        step, replica = min(bad)
        return replica, step, float(self.energy[replica])

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""
        return {"first_bad": self.first_bad, "last": self.last, "largest": self.largest, "energy": self.energy}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.first_bad, self.last = tensors["first_bad"], tensors["last"]
        self.largest, self.energy = tensors["largest"], tensors["energy"]
