"""Combinations of options that have no meaning; each is one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from glassyrun_pspin import theory
from glassyrun_pspin.model import Model
from glassyrun_pspin.monomials import count

MOST_DEGREE = 16
MOST_SITES = 1_000_000
MOST_LAZY_SITES = 1e15
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
    """What is wrong with a model as a whole, or None. All laws of couplings have the same limit N → ∞."""
    if math.isinf(asked.n):
        return _temperature(asked)
    return _degrees(asked) or _dilution(asked) or _temperature(asked)


def fault_of_lazy(asked: Model, lazy: bool, given: Sequence[str]) -> str | None:
    """What is wrong with the number of spins, and with options that only one way to draw the disorder has, or None."""
    if not lazy:
        if not math.isinf(asked.n) and asked.n > MOST_SITES:
            return f'n = {asked.n:g} with all couplings drawn: expected at most {MOST_SITES}, or disorder = "lazy"'
        if given:
            return f'{given[0]} belongs to disorder = "lazy": leave it out, or set that'
        whole = math.isinf(asked.n) or asked.n == int(asked.n)
        return None if whole else f"n = {asked.n}: expected a whole number of spins, or inf for the theory"
    if not math.isinf(asked.n) and asked.n > MOST_LAZY_SITES:
        return f"n = {asked.n:g}: expected at most {MOST_LAZY_SITES:g}, from where on it is inf to the last digit"
    if not math.isinf(asked.n) and asked.n != int(asked.n):
        return f"n = {asked.n}: expected a whole number of spins, or inf"
    if asked.binary:
        return 'couplings = "binary" with disorder = "lazy": only Gaussian couplings look the same along every direction; leave one out'
    if asked.dilution is not None:
        return 'dilution with disorder = "lazy": a diluted model has no rotation-invariant law; leave one of them out'
    if not asked.diagonals:
        return (
            'diagonals = false with disorder = "lazy": without repeated indices the law is not rotation-invariant; leave one of '
            "them out"
        )
    return None


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
