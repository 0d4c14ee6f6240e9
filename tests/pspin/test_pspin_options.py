"""Options of the p-spin: what is refused and how, what it says about its size, and the constants of theory."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import attrs
import pytest
import torch
from pydantic import ValidationError

from glassyrun import Refusal
from glassyrun.context import Journey
from glassyrun.registry import Registry
from glassyrun_pspin import theory
from glassyrun_pspin.layout import Shape, Tiling
from glassyrun_pspin.options import PSpinOptions

BAD = {
    "negative n": ({"n": -3}, "greater than or equal to 2"),
    "no n": ({}, "required"),
    "n not whole": ({"n": 64.5}, "whole number"),
    "p = 1": ({"n": 8, "p": 1}, "greater than or equal to 2"),
    "p too large": ({"n": 8, "p": 40}, "less than or equal to 16"),
    "p and mixture": ({"n": 8, "p": 3, "mixture": {"3": 1.0}}, "one of the two"),
    "mixture of degree 1": ({"n": 8, "mixture": {"1": 1.0}}, "from 2 to 16"),
    "mixture of no number": ({"n": 8, "mixture": {"three": 1.0}}, "'three'"),
    "mixture twice": ({"n": 8, "mixture": {"03": 1.0}}, "'03'"),
    "mixture with 0": ({"n": 8, "mixture": {"3": 0.0}}, "coefficient 0"),
    "mixture with NaN": ({"n": 8, "mixture": {"3": math.nan}}, "finite"),
    "empty mixture": ({"n": 8, "mixture": {}}, "at least 1"),
    "NaN temperature": ({"n": 8, "initial_temperature": math.nan}, "finite"),
    "zero temperature": ({"n": 8, "initial_temperature": 0.0}, "greater than 0"),
    "negative temperature": ({"n": 8, "initial_temperature": -1.0}, "greater than 0"),
    "below T_s": ({"n": 8, "initial_temperature": 0.5}, "T_s = 0.58"),
    "below T_s of a mixture": ({"n": 8, "mixture": {"2": 2.0}, "initial_temperature": 1.9}, "T_s = 2.0"),
    "too diluted": ({"n": 30, "dilution": 1000}, "at least 2 N^(p−1) = 1800"),
    "too diluted, as a multiple": ({"n": 30, "dilution": 1.9}, "at least 2 N^(p−1) = 1800"),
    "more than full": ({"n": 30, "dilution": 5000}, "4060 of the full model"),
    "no room for dilution": ({"n": 8, "dilution": 2.0}, "leave dilution out"),
    "diluted with diagonals": ({"n": 30, "dilution": 2.0, "diagonals": True}, "leave diagonals out"),
    "diluted mixture by number": ({"n": 60, "dilution": 9000, "mixture": {"2": 1.0, "3": 1.0}}, "expected a float"),
    "no product": ({"n": 3, "p": 4, "diagonals": False}, "take n ≥ 4"),
    "unknown law": ({"n": 8, "couplings": "cauchy"}, "'gaussian' or 'binary'"),
    "unknown key": ({"n": 8, "temperature": 1.0}, "Extra inputs"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_makes_no_sense_is_one_sentence(name):
    options, told = BAD[name]
    with pytest.raises(ValidationError) as caught:
        PSpinOptions(**options)
    errors = caught.value.errors()
    assert len(errors) == 1
    assert told in errors[0]["msg"]
    assert "\n" not in errors[0]["msg"]


def test_defaults_that_depend_are_written_out_and_read_back():
    for options in ({"n": 8}, {"n": 30, "dilution": 2.0}, {"n": 8, "mixture": {3: 1.0, 4: 0.5}}):
        made = PSpinOptions(**options)
        assert PSpinOptions(**made.model_dump(exclude_none=True)) == made
    assert PSpinOptions(n=8).p == 3
    assert PSpinOptions(n=30, dilution=2.0).diagonals is False
    assert PSpinOptions(n=8, mixture={"10": 1.0, "3": 0.5}).coefficients == {3: 0.5, 10: 1.0}


def test_an_infinite_initial_temperature_is_a_random_start():
    assert PSpinOptions(n=8, initial_temperature=math.inf) == PSpinOptions(n=8)


def test_registered_like_any_plugin():
    assert Registry.installed().kinds("systems")["pspin"].options is PSpinOptions


def tensors_of(system):
    """All tensors that a System holds, found by walking it."""
    seen, found, queue = set(), [], [system]
    while queue:
        thing = queue.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            found.append(thing)
        elif isinstance(thing, (tuple, list)):
            queue.extend(thing)
        elif isinstance(thing, dict):
            queue.extend(thing.values())
        elif type(thing).__module__.startswith("glassyrun_pspin"):
            queue.extend(getattr(thing, name.name) for name in type(thing).__attrs_attrs__)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [
        {"n": 40},
        {"n": 20, "p": 5},
        {"n": 33, "p": 2, "diagonals": False},
        {"n": 24, "mixture": {"2": 1.0, "4": 1.0}, "initial_temperature": 2.0},
        {"n": 30, "dilution": 2000},
    ],
)
def test_the_footprint_is_what_is_held(options, dtype, context, pspin):
    footprint = PSpinOptions(**options).footprint(context(0, dtype))
    system = pspin(dtype=dtype, **options)
    assert footprint.bytes == sum(t.untyped_storage().nbytes() for t in tensors_of(system))
    assert (footprint.terms, footprint.dof) == (system.terms, system.dof)


def test_products_of_all_replicas_are_counted_on_a_gpu(context):
    """Three products of the widest tile, as `_products` keeps them; the compiled loop of a CPU needs none."""
    for device, grows in (("cuda", True), ("cpu", False)):
        few, many = (
            PSpinOptions(n=300)
            .footprint(attrs.evolve(context(0, torch.float32), device=torch.device(device), journey=Journey(replicas=replicas)))
            .transient_bytes
            for replicas in (1000, 2000)
        )
        tiles = Shape(300, 3, True).tiles(4, Tiling.of(torch.device(device)))
        widest = max(tile.width * tile.rows for tile in tiles)
        assert many - few == (3 * widest * 1000 * 4 if grows else 0)


def test_a_size_that_no_machine_holds_is_stated_at_once(context):
    footprint = PSpinOptions(n=1_000_000, p=8).footprint(context())
    assert footprint.terms == math.comb(1_000_007, 8)
    assert footprint.bytes >= 8 * footprint.terms


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_of_drawing_and_stepping():
    """At most 1.1 × the couplings and 50 MB above an idle process that has torch and the compiled loops in it."""
    code = """
        import torch
        from glassyrun import Context
        from glassyrun_pspin.options import PSpinOptions
        torch.set_num_threads(2)
        context = Context("pspin", 1, 0, torch.device("cpu"), torch.float32)
        def high_water():  # not ru_maxrss: a child inherits that of its parent
            return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
        def peak(n):
            options = PSpinOptions(n=n)
            system = options.build(context)
            system.gradient(system.initial([context.stream("start")]))
            return high_water(), options.footprint(context)
        idle, _ = peak(8)
        busy, footprint = peak(420)
        print(busy - idle, footprint.bytes, footprint.terms * 4)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True).stdout
    taken, held, couplings = map(int, out.split())
    assert held < 1.1 * couplings + 2**20
    assert 0.9 * couplings < taken < 1.1 * couplings + 50e6


def test_constants_of_theory():
    assert theory.dynamical_temperature(3) == pytest.approx(math.sqrt(3 / 8))
    assert theory.dynamical_temperature(2) == 1
    assert theory.threshold_energy(3) == pytest.approx(-1.1547, abs=1e-4)
    assert theory.static_temperature({3: 1.0}) == pytest.approx(0.5860, abs=2e-4)  # Crisanti and Sommers 1992
    assert theory.static_temperature({2: 1.0}) == pytest.approx(1, abs=1e-3)
    assert theory.static_temperature({3: 2.0}) == pytest.approx(2 * theory.static_temperature({3: 1.0}))
    assert theory.planted_energy({3: 1.0}, 0.7) == pytest.approx(-1 / 1.4)


@pytest.mark.parametrize("p", [3, 4, 5])
def test_marginal_states(p):
    cold, transition = theory.marginal_state(p, 1e-6), theory.marginal_state(p, theory.dynamical_temperature(p))
    assert cold.energy == pytest.approx(theory.threshold_energy(p), abs=1e-4)
    assert theory.marginal_state(p, 0.0).energy == theory.threshold_energy(p)
    assert transition.overlap == pytest.approx((p - 2) / (p - 1), abs=1e-5)
    assert transition.ratio == pytest.approx(1, abs=1e-5)
    assert transition.energy == pytest.approx(-1 / (2 * theory.dynamical_temperature(p)), abs=1e-5)
    with pytest.raises(Refusal, match="marginal"):
        theory.marginal_state(p, 1.0)


def test_minibatch_temperature_of_the_conventions():
    """N = 512, B = 100, α = 0.01: 1670 with N³/6 couplings."""
    options = PSpinOptions(n=512)
    assert options.minibatch_temperature(0.01, 512**3 / 6 / 100) == pytest.approx(1670, rel=0.01)
