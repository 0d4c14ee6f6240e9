"""The long-time scheme: rows at geometric times, each graded towards t′ = t and t′ = 0, each solved by Newton's method.

The rows play the part of the growing interpolation grids of Lang, Sachdev and Diehl (arXiv:2504.06849). They step explicitly by
times of order 1; here a row is solved implicitly as a whole, so that the number of rows grows with the logarithm of time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
from jaxtyping import Float

from glassyrun import Refusal
from glassyrun_pspin.meanfield.equations import Equations
from glassyrun_pspin.meanfield.fixed import extrapolated
from glassyrun_pspin.meanfield.graded_equations import multiplier, residual
from glassyrun_pspin.meanfield.graded_loops import History, begin_row, beyond

MOST_PASSES = 12
MOST_THREADS = 8
SMALL = 3e-6
"""Change of a row in a Newton pass that the next one, quadratically smaller, need not follow; C and R near the diagonal are of order 1."""


@attrs.frozen
class Resolution:
    """How finely the grid is cut; all lengths are in its logarithmic coordinates."""

    columns: float
    """δ_u, between columns of a row; the error falls with its sixth power."""
    rows: float
    """δ_v, between rows; fourth order."""
    panel: float
    """Length over which six Gauss points integrate; twelfth order."""

    @classmethod
    def level(cls, level: int) -> Resolution:
        """The coarsest is 0; each next is finer by 4/3."""
        columns = 0.12 * 0.75**level
        return cls(columns, columns / 2, 5 * columns)


@attrs.frozen(eq=False)
class Graded:
    """C and R up to a time on the graded grid, with μ and E of each row."""

    equations: Equations
    history: History
    times: Float[np.ndarray, " row"]
    mu: Float[np.ndarray, " row"]
    energy: Float[np.ndarray, " row"]

    @property
    def last(self) -> int:
        return len(self.times) - 1


class TooCoarse(Refusal):
    """Newton's method does not converge: the grid is too coarse for so long a time."""


def solve_graded(equations: Equations, horizon: float, resolution: Resolution, heed: Callable[[], None] = lambda: None) -> Graded:
    """The solution up to a time; the cost grows like (ln horizon)³.

    `heed` is called at every pass over a row, some tenths of a second at most, and may raise, so that whoever waits can stop it.

    Raises:
        TooCoarse: if Newton's method does not converge.
    """
    threads = min(MOST_THREADS, available_cores())
    with ThreadPoolExecutor(threads) as pool:
        march = _March.begin(equations, horizon, resolution, pool, threads, heed)
        while march.k < len(march.times):
            march.step()
    return Graded(equations, march.history, march.times, march.mu, march.energy)


@attrs.define(eq=False)
class _March:
    """The rows so far."""

    equations: Equations
    resolution: Resolution
    history: History
    times: Float[np.ndarray, " row"]
    mu: Float[np.ndarray, " row"]
    energy: Float[np.ndarray, " row"]
    pool: ThreadPoolExecutor
    threads: int
    """They share out the columns of a row; no bit depends on their number."""
    heed: Callable[[], None]
    k: int = 0

    @classmethod
    def begin(
        cls,
        equations: Equations,
        horizon: float,
        resolution: Resolution,
        pool: ThreadPoolExecutor,
        threads: int,
        heed: Callable[[], None],
    ) -> _March:
        """Rows up to the seam, from the fixed-step scheme."""
        a, du, dv = 0.7 / equations.rate, resolution.columns, resolution.rows
        c = 2.5 * a
        spacing = 0.6 * a * du
        seam = math.ceil(10 * c / spacing) * spacing
        square, start = (extrapolated(equations, *to, heed)[0] for to in ((seam, spacing), (12 * spacing, spacing / 8)))
        first = math.ceil(math.log1p(0.5 * seam / c) / dv)
        last = max(math.ceil(math.log1p(horizon / c) / dv), math.ceil(math.log1p(seam / c) / dv) + 1)
        times = c * np.expm1(dv * np.arange(first, last + 1))
        columns = _reach(times[-1], a, du, dv) + 2
        history = History(
            np.stack([start.C, start.R], -1),
            spacing / 8,
            np.stack([square.C, square.R], -1),
            spacing,
            seam,
            np.zeros((2, len(times), columns, 2)),
            a,
            du,
            c,
            dv,
            first,
        )
        march = cls(equations, resolution, history, times, np.zeros(len(times)), np.zeros(len(times)), pool, threads, heed)
        while march.times[march.k] <= seam:
            begin_row(history, march.k, march.times[march.k])
            march.multiplier(columns, np.zeros(4 * columns + 1))
            march.k += 1
        return march

    def multiplier(self, n: int, line: Float[np.ndarray, " unknown"]) -> float:
        """μ by its integrals over row k, with E beside it; `line` takes the derivative."""
        k, e = self.k, self.equations
        self.mu[k], self.energy[k] = multiplier(
            self.history, k, n, self.times[k], e.kernels, e.temperature, e.beta, self.resolution.panel, line
        )
        return float(self.mu[k])

    def step(self) -> None:
        """One row: extrapolated from four, then solved by Newton's method with the Jacobian of the first pass, as long as that serves."""
        k, h = self.k, self.history
        t, rows = float(self.times[k]), h.rows
        n = int(math.log1p(0.5 * t / h.a) / h.du) + 2
        rows[:, k] = 4 * rows[:, k - 1] - 6 * rows[:, k - 2] + 4 * rows[:, k - 3] - rows[:, k - 4]
        mu = float(4 * self.mu[k - 1] - 6 * self.mu[k - 2] + 4 * self.mu[k - 3] - self.mu[k - 4])
        jacobian, inverse = np.zeros((4 * n + 1, 4 * n + 1)), None
        before = math.inf
        for _ in range(MOST_PASSES):
            self.heed()
            mu, change, inverse = self.newton(n, mu, jacobian, inverse)
            if change < SMALL:
                break
            if change > 0.03 * before or not math.isfinite(change):
                inverse = None
            before = change
        else:
            raise TooCoarse(
                f"the two-time equations could not be solved beyond t = {self.times[k - 1]:.4g}, but {self.times[-1]:.4g} was asked for; "
                "take a shorter time"
            )
        self.multiplier(n, np.zeros(4 * n + 1))
        beyond(h, k, n, min(rows.shape[2], _reach(t, h.a, h.du, h.dv)), t)
        self.k += 1

    def newton(
        self,
        n: int,
        mu: float,
        jacobian: Float[np.ndarray, "unknown unknown"],
        inverse: Float[np.ndarray, "unknown unknown"] | None,
    ) -> tuple[float, float, Float[np.ndarray, "unknown unknown"]]:
        """One pass; gives μ, the largest change, and the inverse of the Jacobian."""
        k, h, e = self.k, self.history, self.equations
        left, line = np.zeros(4 * n + 1), np.zeros(4 * n + 1)
        t, derive = float(self.times[k]), inverse is None
        arguments = (h, k, n, t, mu, e.kernels, e.beta, self.resolution.panel, left, derive, jacobian)
        parts = [self.pool.submit(residual, *arguments, begin, self.threads) for begin in range(self.threads)]
        for part in parts:
            part.result()
        left[-1] = self.multiplier(n, line) - mu
        if inverse is None:
            line[-1] = -1
            jacobian[-1] = line
            inverse = np.linalg.inv(jacobian)
        change = -inverse @ left
        h.rows[:, k, :n] += change[:-1].reshape(2, n, 2)
        return mu + float(change[-1]), float(np.abs(change).max()), inverse


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _reach(t: float, a: float, du: float, dv: float) -> int:
    """How many columns of a row at time t later rows may look at."""
    return int(math.log1p(0.5 * t * math.exp(5 * dv) / a) / du) + 8
