"""Combinations of options that have no meaning; each is one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from glassyrun_pspin import theory
from glassyrun_pspin.model import Model
from glassyrun_pspin.monomials import count

MOST_DEGREE = 16
LARGEST = 1e6
"""Coefficient of a mixture; beyond it float32 has no room for the energy."""
LARGEST_DILUTION = 1e15
LEAST_DILUTION = 2.0
"""In units of N^{p−1} couplings. With fewer, the spins condense on single couplings and the model is another one."""


def fault_of_mixture(mixture: Mapping[str, float]) -> str | None:
    """What is wrong with the degrees of a mixture, or None."""
    for degree, a in mixture.items():
        if not (
            len(degree) <= 2
            and degree.isascii()
            and degree.isdigit()
            and str(int(degree)) == degree
            and 2 <= int(degree) <= MOST_DEGREE
        ):
            return f"mixture has the key {degree[:20]!r}: expected a number of spins from 2 to {MOST_DEGREE}, as in {{ 3 = 1, 4 = 0.5 }}"
        if not abs(a) <= LARGEST:
            return f"mixture gives degree {degree} the coefficient {a:g}: expected at most {LARGEST:g} in size"
        if a == 0:
            return f"mixture gives degree {degree} the coefficient 0: expected any other number; leave that degree out"
    return None


def fault_of_model(asked: Model) -> str | None:
    """What is wrong with a model as a whole, or None."""
    return _degrees(asked) or _dilution(asked) or _temperature(asked)


def _degrees(asked: Model) -> str | None:
    highest = max(asked.coefficients)
    if highest > asked.n and not asked.diagonals:
        return (
            f"n = {asked.n} with diagonals = false has no product of {highest} different spins; "
            f"take n ≥ {highest} or diagonals = true"
        )
    return None


def _dilution(asked: Model) -> str | None:
    if asked.dilution is None:
        return None
    if asked.diagonals:
        return "diagonals = true with dilution: couplings of a diluted model join different spins; leave diagonals out"
    if isinstance(asked.dilution, int) and len(asked.coefficients) > 1:
        return (
            f"dilution = {asked.dilution} with a mixture: expected a float, the multiple of N^(p−1) that each degree gets, "
            "such as 2.0"
        )
    if asked.dilution > LARGEST_DILUTION:
        return f"dilution = {asked.dilution:g}: expected at most {LARGEST_DILUTION:g}; leave dilution out for the full model"
    for degree in asked.coefficients:
        terms, whole = asked.diluted_terms(degree), count(asked.n, degree, False)
        least = round(LEAST_DILUTION * asked.n ** (degree - 1))
        if least > whole:
            return (
                f"dilution at n = {asked.n}, p = {degree} would need at least 2 N^(p−1) = {least} couplings and the full model "
                f"has only {whole}; leave dilution out"
            )
        if terms < least:
            return (
                f"dilution gives {terms} couplings of degree {degree}: expected at least 2 N^(p−1) = {least}, because with fewer "
                f"the spins condense on single couplings; write dilution = 2.0 or more"
            )
        if terms > whole:
            return (
                f"dilution gives {terms} couplings of degree {degree}, more than the {whole} of the full model; leave dilution "
                "out or take fewer"
            )
    return None


def _temperature(asked: Model) -> str | None:
    start = asked.initial_temperature
    if start is None:
        return None
    static = theory.static_temperature(asked.coefficients)
    if start < static:
        return (
            f"initial_temperature = {start:g} is below the static transition T_s = {static:.4f}, where a planted start is no "
            "equilibrium state; take a higher one, or leave it out for a random start"
        )
    return None
