"""How large a lazily drawn disorder grows in a run, and what that costs: foreseen, for `plan` and for the room that x gets."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from glassyrun import Journey
from glassyrun_pspin.lazy.tensor import entries

LEAST_ROOM, MOST_ROOM = 256, 65_536
PER_ROOT_TIME = 8.0
"""Directions of a quench over (p − 1)√t: 5.7, 7.3 and 6.7 were seen for p = 2, 3, 4 up to t = 100 (docs/lazy.md)."""
FIRST = 16
"""Directions that a quench has at once, whatever its time."""


@attrs.frozen
class Size:
    """Directions, axes and bytes of all replicas of a sample."""

    mixture: Mapping[int, float]
    n: int | float
    journey: Journey

    def after(self, steps: int) -> Size:
        """That of a run of so many steps."""
        whole = self.journey
        share = steps / max(1, whole.steps)
        shorter = attrs.evolve(
            whole,
            steps=steps,
            time=share * whole.time,
            gradients=round(share * whole.gradients),
            foreign=round(share * share * whole.foreign),
            noises=max(1, round(share * whole.noises)) if whole.thermal else 0,
        )
        return attrs.evolve(self, journey=shorter)

    def directions(self, share: int | float = 1.0) -> int:
        """Directions after a share of all steps, and of those of others who look: twins, quenches to inherent structures.

        A thermal step brings one for each look after noise or after a fresh part of the force, and a reading of the energy between two
        noises as well. A quench brings about as many as the root of its time, whatever N and dt.
        """
        journey, steps = self.journey, max(1, self.journey.steps)
        if journey.thermal:
            between = journey.readings if journey.noises > steps else 0
            found = share * (journey.gradients * (1 + journey.foreign / steps) + between)
        else:
            rate = PER_ROOT_TIME * (max(self.mixture) - 1)
            others = math.sqrt(journey.companions * journey.foreign * journey.time / steps)
            root = rate * (math.sqrt(share * journey.time) + share * others)
            found = min(share * journey.gradients * (1 + journey.foreign / steps), root + FIRST * (1 + journey.companions))
        return int(min(self.n, journey.replicas * (found + 1)))

    def room(self) -> int:
        """Axes that x gets room for: no fewer than can be needed, and a power of four, so that √room is one of two.

        Each look brings at most one, and so does each noise vector. Others who look, twins for example, need room as well; it does not
        depend on whether there are any, since the bits of noise depend on it.
        """
        journey = self.journey
        most = 4 * journey.replicas * (journey.gradients + journey.noises + 2)
        power = LEAST_ROOM
        while power < min(most, MOST_ROOM):
            power *= 4
        return int(min(self.n, power))

    def bytes(self, room: int | None) -> int:
        """Memory at the end: entries of the tensors, and the growing matrices with room to grow; `room` of x, None for one axis a spin."""
        directions = pivots = self.directions()
        tensors = 0 if math.isinf(self.n) else 2 * sum(entries(directions, p) for p in self.mixture)
        axes = self.n if room is None else min(room, self._axes())
        matrices = (directions + pivots) * axes + 3 * directions * pivots
        return int(tensors + 3 * 8 * matrices)

    def _axes(self) -> int:
        """Axes at the end, about: a look brings one where it brings something new, and so does a noise vector."""
        thermal = self.journey.noises if self.journey.thermal else 0
        return self.directions() + self.journey.replicas * thermal + self.directions()

    def work(self, steps: int) -> int | float:
        """Work of so many first steps, in units of one small look: entries contracted, matrices read, and what each look costs anyway."""
        total = self.journey.steps or steps
        parts = 24
        work = 0.0
        for part in range(parts):
            share = (part + 0.5) / parts * steps / total
            n = self.directions(min(1.0, share))
            contracted = 0 if math.isinf(self.n) else sum(entries(n, p) for p in self.mixture)
            revealed = n**3 / max(1.0, self.journey.gradients / max(1, self.directions())) / 30
            work += (contracted + revealed + 30 * n * n + LOOK) / parts
        return steps * work / LOOK


LOOK = 2e6
"""What a look costs that finds nothing, in entries contracted meanwhile: a millisecond."""
