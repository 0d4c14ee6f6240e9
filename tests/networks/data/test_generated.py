"""Teacher and student, and Gaussian mixtures: their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import linprog

from glassyrun import LabelledData, Refusal
from glassyrun_networks.data.gaussian_mixture import GaussianMixtureOptions
from glassyrun_networks.data.teacher_student import TeacherStudentOptions
from tests.models import context


def separable(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether a perceptron can learn two classes without error: is there a w with y w·x ≥ 1 for all."""
    signed = (x.double() * (2 * y - 1).unsqueeze(1)).numpy()
    size = x.shape[1]
    return linprog(np.zeros(size), A_ub=-signed, b_ub=-np.ones(len(x)), bounds=[(None, None)] * size).status == 0


def drawn(table, **where) -> LabelledData:
    return table.load(context("system/data", **where))


TABLES = [
    TeacherStudentOptions(dimension=7, train=30, test=11),
    TeacherStudentOptions(dimension=7, train=30, test=11, teacher="committee"),
    TeacherStudentOptions(dimension=7, train=30, test=11, teacher="mlp", width=4, classes=5),
    GaussianMixtureOptions(dimension=7, train=30, test=11, clusters=3),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: getattr(table, "teacher", table.kind))
def test_sizes_and_chance(table):
    data = drawn(table)
    assert data.train_x.shape == (30, 7)
    assert data.test_x.shape == (11, 7)
    assert data.train_x.dtype == torch.float32
    assert data.train_y.dtype == torch.int64
    assert (data.unit, tuple(data.mean), tuple(data.std)) == (1.0, (0.0,), (1.0,))
    assert 0 <= data.train_y.min() <= data.train_y.max() < data.classes
    assert table.disordered
    again = drawn(table)
    torch.testing.assert_close(again.train_x, data.train_x, rtol=0, atol=0)
    for where in ({"seed": 2}, {"sample": 1}):
        other = drawn(table, **where)
        assert not torch.equal(other.train_x, data.train_x)
        assert other.provenance == data.provenance
    # the type of the run is none of the data's business
    torch.testing.assert_close(drawn(table, dtype=torch.float32).train_x, data.train_x, rtol=0, atol=0)


def test_inputs_of_a_teacher_are_standard_normal():
    x = drawn(TeacherStudentOptions(dimension=50, train=2000, test=1)).train_x.double()
    standard_error = 1 / math.sqrt(x.numel())
    assert abs(x.mean()) < 4 * standard_error
    assert abs(x.square().mean() - 1) < 4 * math.sqrt(2) * standard_error
    assert abs(x.pow(4).mean() - 3) < 4 * math.sqrt(96) * standard_error


def test_what_a_perceptron_teaches_a_perceptron_can_learn():
    """Beyond n = 2·dimension labels without a rule are not separable (Cover 1965), those of a perceptron always are."""
    table = TeacherStudentOptions(dimension=10, train=200)
    data = drawn(table)
    assert separable(data.train_x, data.train_y)
    assert separable(torch.cat([data.train_x, data.test_x]), torch.cat([data.train_y, data.test_y]))
    ruleless = drawn(table.model_copy(update={"labels": "random"}))
    torch.testing.assert_close(ruleless.train_x, data.train_x)
    assert not separable(ruleless.train_x, ruleless.train_y)
    # another sample has another teacher
    other = drawn(table, sample=1)
    assert not separable(torch.cat([data.train_x, other.train_x]), torch.cat([data.train_y, other.train_y]))


@pytest.mark.parametrize("teacher", ["committee", "mlp"])
def test_other_teachers_ask_for_more_than_a_perceptron(teacher):
    data = drawn(TeacherStudentOptions(dimension=10, train=1000, teacher=teacher, width=5))
    assert not separable(data.train_x, data.train_y)
    assert 0.3 < data.train_y.double().mean() < 0.7


@pytest.mark.parametrize(("width", "kept"), [(1, 1.0), (3, 0.75), (5, 0.6875)])
def test_a_committee_votes(width, kept):
    """Orthogonal members agree with the majority with probability ½ + C(K − 1, (K − 1)/2)/2^K."""
    from glassyrun_networks.data.vectors import TEACHERS, gaussian, taught

    stream = context().stream
    assert kept == 0.5 + math.comb(width - 1, (width - 1) // 2) / 2**width
    teacher = TEACHERS["committee"](stream("teacher"), 400, 2, width)
    x = gaussian(stream("inputs"), 4000, 400)
    weights = torch.from_numpy(stream("teacher").numpy().standard_normal((width, 400)))
    agree = ((x.double() @ weights.T > 0) == taught(x, teacher).bool().unsqueeze(1)).double().mean()
    # members are orthogonal up to 1/√400
    assert agree.item() == pytest.approx(kept, abs=0.02)


def test_an_mlp_by_the_book():
    from glassyrun_networks.data.vectors import TEACHERS, gaussian, taught

    stream = context().stream("teacher")
    x = gaussian(context().stream("inputs"), 50, 6)
    w = stream.child("hidden").numpy().standard_normal((4, 6)) / math.sqrt(6)
    v = stream.child("output").numpy().standard_normal((3, 4)) / 2
    scores = [[sum(v[k, j] * math.erf(w[j] @ row / math.sqrt(2)) for j in range(4)) for k in range(3)] for row in x.numpy()]
    assert taught(x, TEACHERS["mlp"](stream, 6, 3, 4)).tolist() == np.argmax(scores, 1).tolist()


def test_many_classes_of_a_perceptron():
    data = drawn(TeacherStudentOptions(dimension=50, train=2000, classes=10))
    assert torch.bincount(data.train_y, minlength=10).min() > 20
    assert data.classes == 10


@pytest.mark.parametrize(("clusters", "dimension"), [(2, 2), (2, 30), (5, 5), (5, 30)])
def test_clusters_are_equally_far_apart(clusters, dimension):
    from glassyrun_networks.data.vectors import centres

    where = centres(context().stream("centres"), clusters, dimension, 3.5)
    distances = torch.cdist(where, where, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(distances, 3.5 * (1 - torch.eye(clusters, dtype=torch.float64)))
    torch.testing.assert_close(where.mean(0), torch.zeros(dimension, dtype=torch.float64))


def test_the_direction_of_clusters_is_uniform():
    """⟨v⟩ = 0 and ⟨v_i v_j⟩ = δ_ij/d over samples, which fails where a QR decomposition chooses the signs."""
    from glassyrun_networks.data.vectors import centres

    first = torch.stack([centres(context(sample=s).stream("centres"), 2, 3, 2.0)[0] for s in range(2000)])
    torch.testing.assert_close(first.mean(0), torch.zeros(3, dtype=torch.float64), atol=4 / math.sqrt(3 * 2000), rtol=0)
    torch.testing.assert_close(first.T @ first / 2000, torch.eye(3, dtype=torch.float64) / 3, atol=0.03, rtol=0)


def test_no_classifier_errs_less_often_than_the_best_one_and_that_one_as_it_should():
    """The best one looks at the side of the plane between the centres: error Φ(−separation/2) (Mignacco et al. 2020)."""
    for separation in (1.0, 3.0):
        data = drawn(GaussianMixtureOptions(dimension=20, train=20_000, test=10, separation=separation))
        x, y = data.train_x.double(), 2 * data.train_y - 1
        direction = (x * y.unsqueeze(1)).mean(0)
        assert direction.norm().item() == pytest.approx(separation / 2, abs=0.03)
        wrong = ((x @ direction).sign() != y).double().mean().item()
        expected = 0.5 * math.erfc(separation / 2 / math.sqrt(2))
        assert abs(wrong - expected) < 4 * math.sqrt(expected * (1 - expected) / len(x))
        noise = x - direction * y.unsqueeze(1)
        torch.testing.assert_close(noise.T @ noise / len(x), torch.eye(20, dtype=torch.float64), atol=0.05, rtol=0)


def test_both_parts_of_a_mixture_are_balanced():
    data = drawn(GaussianMixtureOptions(clusters=3, train=31, test=7))
    assert torch.bincount(data.train_y).tolist() == [11, 10, 10]
    assert torch.bincount(data.test_y).tolist() == [3, 2, 2]


def test_preparation_is_that_of_all_kinds():
    data = drawn(GaussianMixtureOptions(clusters=4, labels="odd_even", subset=40, pca=2, separation=20.0))
    assert data.train_x.shape == (40, 2)
    assert data.classes == 2
    assert "% of the variance" not in data.provenance["data_pca"]


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (TeacherStudentOptions, {"teacher": "committee", "classes": 3}, "a committee votes yes or no: expected 2"),
        (TeacherStudentOptions, {"teacher": "committee", "width": 4}, "expected an odd number"),
        (TeacherStudentOptions, {"classes": 1}, "greater than or equal to 2"),
        (GaussianMixtureOptions, {"clusters": 5, "dimension": 4}, "clusters = 5, but there are 4 dimensions"),
        (GaussianMixtureOptions, {"separation": -1.0}, "greater than or equal to 0"),
    ],
)
def test_tables_without_meaning(table, options, words):
    with pytest.raises(ValidationError, match=words):
        table(**options)


def test_vectors_that_do_not_fit_into_memory():
    with pytest.raises(Refusal, match=r"100000000 \+ 1000 vectors of dimension 1000000 take 8e\+05 GB, but") as error:
        drawn(TeacherStudentOptions(dimension=10**6, train=10**8))
    assert "\n" not in str(error.value)
