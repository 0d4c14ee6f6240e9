"""Adaptive descent: as exact as asked, whatever the step, and as long steps as that lets it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models import begin, context, dynamics

import glassyrun
from glassyrun import Context, Evaluation, State, System
from glassyrun_dynamics.quench import QuenchOptions
from glassyrun_pspin.options import PSpinOptions
from glassyrun_quadratic.quadratic import QuadraticOptions


class Counted(System):
    """A System whose looks are counted."""

    def __init__(self, base: System) -> None:
        self.base, self.looks = base, 0
        self.dof, self.terms, self.blocks, self.manifold = base.dof, base.terms, base.blocks, base.manifold
        self.energy_scale = base.energy_scale

    def initial(self, streams):
        return self.base.initial(streams)

    def energy(self, state: State, terms=None):
        return self.base.energy(state, terms)

    def gradient(self, state: State, batch=None) -> Evaluation:
        self.looks += 1
        return self.base.gradient(state, batch)


def built(kind: str) -> Counted:
    options = PSpinOptions(p=3, n=32) if kind == "pspin" else QuadraticOptions(n=6, terms=20, noise=0.3)
    return Counted(options.build(context("system")))


def quenched(system: Counted, time: float, steps: int, **options: float | str) -> np.ndarray:
    moves = dynamics("quench", system, dt=time / steps, **options)
    state = begin(system, moves, 2)
    system.looks = 0
    moves.advance(system, state, steps)
    return state.x.numpy()


@pytest.mark.parametrize("kind", ["pspin", "quadratic"])
def test_the_error_is_that_of_the_tolerance_and_of_third_order(kind: str) -> None:
    system = built(kind)
    exact = quenched(system, 4.0, 4000, scheme="heun")
    errors, looks = [], []
    for tolerance in (1e-4, 1e-5, 1e-6):
        errors.append(np.abs(quenched(system, 4.0, 1, scheme="adaptive", tolerance=tolerance) - exact).max())
        looks.append(system.looks)
        assert errors[-1] < 50 * tolerance
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert looks[0] < looks[1] < looks[2] < 400
    # a third of the tolerance is worth 10^(1/3) = 2.15 times the looks
    assert looks[2] / looks[0] < 7


def test_the_length_of_steps_is_a_matter_of_reading_alone() -> None:
    system = built("pspin")
    coarse, fine = (quenched(system, 4.0, steps, scheme="adaptive", tolerance=1e-7) for steps in (2, 40))
    np.testing.assert_allclose(coarse, fine, atol=1e-5)


def test_steps_grow_where_little_happens() -> None:
    """A quadratic energy of one curvature: late parts are only limited by stability, not by accuracy."""
    system = built("quadratic")
    early = quenched(system, 1.0, 1, scheme="adaptive", tolerance=1e-8) is not None and system.looks
    quenched(system, 40.0, 40, scheme="adaptive", tolerance=1e-8)
    assert system.looks < 40 * early / 2


def test_a_stopped_step_length_is_remembered() -> None:
    """The next step begins with the length that the last one found: two states that differ in it take other looks."""
    system = built("pspin")
    moves = QuenchOptions(dt=0.5, scheme="adaptive").build(Context("d", 0, 0, torch.device("cpu"), torch.float64), system)
    state = begin(system, moves, 1)
    moves.advance(system, state, 1)
    assert 0 < float(state.dynamics["part"]) < 0.5


def test_a_tolerance_belongs_to_adaptive_steps() -> None:
    with pytest.raises(glassyrun.GlassyrunError, match="tolerance with scheme"):
        glassyrun.load(
            {
                "system": {"kind": "pspin", "n": 12},
                "dynamics": {"kind": "quench", "scheme": "heun", "tolerance": 1e-3},
                "schedule": {"horizon": 1},
            }
        )
