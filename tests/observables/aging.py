"""Two-time readings by hand, without a run around them, and how a curve with correlated errors is compared with what it must be."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from scipy import stats
from tests.models import context

from glassyrun import Context, Dynamics, Observable, ObservableOptions, Reference, Snapshot, State, System
from glassyrun.context import Journey


def crowd(options: ObservableOptions, replicas: int) -> Context:
    """A context of an observable that knows how many replicas there are."""
    return attrs.evolve(context(f"observables/{options.label}"), journey=Journey(replicas=replicas))


def built(options: ObservableOptions, system: System, replicas: int = 2) -> Observable:
    return options.build(crowd(options, replicas), system)


def two_times(
    options: Sequence[ObservableOptions],
    system: System,
    moves: Dynamics,
    state: State,
    t_w: Sequence[int],
    last: int,
    chunk: int = 1,
) -> dict[str, np.ndarray]:
    """All variables over [t_w, step, replica] up to the step `last`, NaN before t_w; chunks of a few steps, as the engine takes them."""
    observables = [built(table, system, state.replicas) for table in options]
    names = {name: observable for observable in observables for name in observable.variables}
    found = {name: np.full((len(t_w), last + 1, state.replicas), np.nan) for name in names}
    kept: dict[int, list[Reference]] = {}
    while True:
        now = Snapshot(system, moves, state)
        for references in kept.values():
            for observable, then in zip(observables, references, strict=True):
                observable.follow(now, then)
        if state.step in t_w:
            kept[state.step] = [Reference(state.step, observable.remember(now)) for observable in observables]
        for since, references in kept.items():
            for observable, then in zip(observables, references, strict=True):
                for name, value in observable.read(now, then).items():
                    found[name][list(t_w).index(since), state.step] = value.numpy()
        if state.step == last:
            return found
        ends = [step for step in (*t_w, last) if step > state.step]
        moves.advance(system, state, min(chunk, *(end - state.step for end in ends)))


def agrees(found: np.ndarray, expected: np.ndarray | float, cap: float, least: float = 1e-3) -> None:
    """Joint χ² of a mean curve, [independent, point], with the covariance of the points; no point's standard error above the cap."""
    count, points = found.shape
    off = found.mean(0) - expected
    covariance = np.atleast_2d(np.cov(found.T)) / count
    assert np.sqrt(np.diagonal(covariance)).max() < cap
    squared = off @ np.linalg.solve(covariance, off)  # Hotelling's T²
    probability = stats.f.sf(squared * (count - points) / (points * (count - 1)), points, count - points)
    assert probability > least, (off, np.sqrt(np.diagonal(covariance)), probability)


def curvature(system: System) -> torch.Tensor:
    """The Hessian of a quadratic energy."""
    axes = torch.eye(system.dof, dtype=torch.float64)
    return system.gradient(State(axes)).gradient - system.gradient(State(torch.zeros_like(axes))).gradient


def in_equilibrium(system: System, temperature: float, replicas: int, seed: int = 0) -> State:
    """Configurations of a quadratic energy drawn from its Gaussian of covariance T K⁻¹."""
    slope = system.gradient(State(torch.zeros(1, system.dof, dtype=torch.float64))).gradient[0]
    stiffness = curvature(system)
    values, vectors = torch.linalg.eigh(stiffness)
    normal = torch.from_numpy(np.random.Generator(np.random.Philox(seed)).normal(size=(replicas, system.dof)))
    return State(-torch.linalg.solve(stiffness, slope) + (normal * (temperature / values).sqrt()) @ vectors.T)
