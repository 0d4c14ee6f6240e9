"""Subsets, other labels, principal components: on images and on vectors, with and without disorder."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from glassyrun import Context, DataError, LabelledData
from glassyrun_networks.data import recent
from glassyrun_networks.data.mnist import MnistOptions
from glassyrun_networks.data.pca import principal_components
from glassyrun_networks.data.prepare import PreparedOptions
from glassyrun_networks.data.subsets import balanced
from glassyrun_networks.network import Network
from tests.models import context, streams
from tests.networks.data.tools import at
from tests.networks.toy import ModuleOptions

CLASSES = 4
COUNTS = (30, 25, 20, 18)


def images(channels: int = 3, side: int = 3) -> LabelledData:
    """Noise of another mean and width in each channel; classes not equally large."""
    chance = np.random.default_rng(5)
    labels = chance.permutation(np.repeat(np.arange(CLASSES), COUNTS))
    pixels = (
        100
        + 20 * np.arange(channels)[:, None, None]
        + (10 + 5 * np.arange(channels)[:, None, None]) * chance.normal(size=(len(labels) + 40, channels, side, side))
    )
    x, y = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)
    return LabelledData(
        train_x=x[:-40],
        train_y=y,
        test_x=x[-40:],
        test_y=torch.arange(40) % CLASSES,
        classes=CLASSES,
        mean=tuple(0.4 + 0.1 * c for c in range(channels)),
        std=tuple(0.1 + 0.05 * c for c in range(channels)),
        provenance={"data": "noise"},
    )


TRAIN_Y = images().train_y


class Noise(PreparedOptions):
    """`images` as a kind; each image can be told from the others."""

    disordered: ClassVar[bool] = False
    kind: Literal["noise"] = "noise"

    def whole(self, context: Context) -> LabelledData:
        return images()


class DisorderedNoise(Noise):
    disordered: ClassVar[bool] = True


def numbers(part: torch.Tensor) -> list[int]:
    """Which of the images these are."""
    whole = {image.numpy().tobytes(): k for k, image in enumerate(images().train_x)}
    return [whole[image.contiguous().numpy().tobytes()] for image in part]


def test_nothing_is_changed_unasked():
    data = Noise().load(context("data"))
    torch.testing.assert_close(data.train_x, images().train_x)
    assert data.provenance == {"data": "noise"}


def test_a_subset_is_balanced_and_keeps_images_with_their_labels():
    data = Noise(subset=42).load(context("data"))
    chosen = numbers(data.train_x)
    assert chosen == sorted(set(chosen))
    torch.testing.assert_close(images().train_y[chosen], data.train_y)
    assert sorted(torch.bincount(data.train_y).tolist()) == [10, 10, 11, 11]
    torch.testing.assert_close(data.test_x, images().test_x)
    assert data.provenance["data_subset"] == "42 of 93 training examples, classes equally often, drawn from the seed"
    assert data.mean == images().mean


@settings(max_examples=30, deadline=None)
@given(small=some.integers(1, 72), large=some.integers(1, 72), seed=some.integers(0, 1000))
def test_a_larger_subset_contains_the_smaller_one(small, large, seed):
    small, large = sorted((small, large))
    stream = context(seed=seed).stream("subset")
    one, other = (balanced(images().train_y, CLASSES, count, stream) for count in (small, large))
    assert len(one) == small
    assert set(one.tolist()) <= set(other.tolist())
    frequencies = torch.bincount(images().train_y[other], minlength=CLASSES)
    assert frequencies.max() - frequencies.min() <= 1


def test_every_image_is_drawn_equally_often():
    """Of 400 subsets of 8, 2 a class: a class of n has each of its images in 800/n of them."""
    drawn = torch.zeros(93)
    for seed in range(400):
        drawn[balanced(TRAIN_Y, CLASSES, 8, context(seed=seed).stream("subset"))] += 1
    expected = torch.tensor([800 / COUNTS[label] for label in images().train_y])
    # binomial, so the variance is n·p·(1 − p); χ² over 93 − 4 degrees of freedom within four standard deviations
    chi2 = ((drawn - expected) ** 2 / (expected * (1 - expected / 400))).sum()
    assert abs(chi2 - 89) < 4 * (2 * 89) ** 0.5


def test_what_is_left_over_goes_to_any_class():
    """Subsets of 5 of 4 classes: each class has two of them in a quarter of the draws, within four standard deviations."""
    twice = torch.zeros(CLASSES)
    for seed in range(400):
        chosen = balanced(TRAIN_Y, CLASSES, 5, context(seed=seed).stream("subset"))
        twice += torch.bincount(TRAIN_Y[chosen], minlength=CLASSES) == 2
    assert twice.sum() == 400
    assert (twice - 100).abs().max() < 4 * (400 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (94, "subset = 94, but there are 93 training examples"),
        (77, r"subset = 77 takes (19|20) training examples of each of 4 classes, but class 3 has 18: ask for at most 72"),
    ],
)
def test_a_subset_that_is_not_there(count, words):
    with pytest.raises(DataError, match=words):
        Noise(subset=count).load(context("data"))


def test_seeds_differ_and_samples_only_if_asked():
    def drawn(table: type[Noise], **where: int):
        recent.forget()
        data = table(subset=40, labels="random").load(context("data", **where))
        return numbers(data.train_x), data.train_y.tolist()

    assert drawn(Noise, seed=1) == drawn(Noise, seed=1)
    for one, other in zip(drawn(Noise, seed=1), drawn(Noise, seed=2), strict=True):
        assert one != other
    assert drawn(Noise, sample=0) == drawn(Noise, sample=1)
    for one, other in zip(drawn(DisorderedNoise, sample=0), drawn(DisorderedNoise, sample=1), strict=True):
        assert one != other
    assert DisorderedNoise(subset=4).load(context("data")).provenance["data_subset"].endswith("anew for each sample")


def test_random_labels_are_as_frequent_and_say_nothing():
    data = Noise(labels="random").load(context("data"))
    torch.testing.assert_close(torch.bincount(data.train_y), torch.tensor(COUNTS))
    # what is right by chance: Σ (n_c/n)²; its standard deviation is near the root of p(1 − p)/n
    right, p = (data.train_y == images().train_y).double().mean(), sum((n / 93) ** 2 for n in COUNTS)
    assert abs(right - p) < 4 * (p * (1 - p) / 93) ** 0.5
    torch.testing.assert_close(data.test_y, images().test_y)
    assert data.provenance["data_labels"] == "those of the training set permuted, drawn from the seed"


def test_random_labels_are_those_of_the_subset():
    """The order: a balanced subset stays balanced."""
    data = Noise(subset=40, labels="random").load(context("data"))
    assert numbers(data.train_x) == numbers(Noise(subset=40).load(context("data")).train_x)
    assert torch.bincount(data.train_y).tolist() == [10] * 4


def test_odd_and_even():
    data = Noise(labels="odd_even", subset=40).load(context("data"))
    own = Noise(subset=40).load(context("data"))
    torch.testing.assert_close(data.train_y, own.train_y % 2)
    torch.testing.assert_close(data.test_y, images().test_y % 2)
    assert data.classes == 2
    assert data.provenance["data_labels"] == "0 for even and 1 for odd labels"


def normalised(x: torch.Tensor, data: LabelledData) -> torch.Tensor:
    """What a network sees, flattened, by the book."""
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (data.mean, data.std))
    return ((x.double() / data.unit - mean) / std).flatten(1)


def test_principal_components_are_those_of_a_singular_value_decomposition():
    whole, data = images(), Noise(pca=5).load(context("data"))
    seen = normalised(whole.train_x, whole)
    centre = seen.mean(0)
    _, values, axes = torch.linalg.svd(seen - centre, full_matrices=False)
    axes = axes[:5] * axes[:5].gather(1, axes[:5].abs().argmax(1, keepdim=True)).sign()
    scale = (values[:5].square().mean() / len(seen)).sqrt()
    for part in ("train", "test"):
        expected = (normalised(getattr(whole, f"{part}_x"), whole) - centre) @ axes.T / scale
        found = getattr(data, f"{part}_x")
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    kept = 100 * values[:5].square().sum() / values.square().sum()
    assert f"({kept:.3g} % of the variance)" in data.provenance["data_pca"]
    assert (data.unit, data.mean, data.std, data.classes) == (1.0, (0.0,), (1.0,), CLASSES)


def test_principal_components_are_centred_uncorrelated_and_of_length_root_n():
    x = Noise(pca=7).load(context("data")).train_x.double()
    torch.testing.assert_close(x.mean(0), torch.zeros(7, dtype=torch.float64), atol=1e-6, rtol=0)
    covariance = x.T @ x / len(x)
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), atol=1e-6, rtol=0)
    assert covariance.trace().item() == pytest.approx(7, abs=1e-5)
    assert (covariance.diagonal().diff() < 0).all()


def test_components_belong_to_the_subset():
    data = Noise(subset=40, pca=3).load(context("data"))
    assert data.train_x.shape == (40, 3)
    torch.testing.assert_close(data.train_x.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    assert list(data.provenance) == ["data", "data_subset", "data_pca"]


def test_an_all_alike_direction_is_no_component():
    """27 pixels, 93 images: rank 27; ten images span nine directions, and a constant pixel none."""
    whole = images()
    principal_components(whole, 27)
    with pytest.raises(DataError, match=r"pca = 28, but the 93 training inputs span 27 directions: ask for at most that"):
        principal_components(whole, 28)
    with pytest.raises(DataError, match="the 10 training inputs span 9 directions"):
        Noise(subset=10, pca=10).load(context("data"))
    whole.train_x[:, 1, 1, 1] = 77
    with pytest.raises(DataError, match="span 26 directions"):
        principal_components(whole, 27)
    whole.train_x[:] = 3
    with pytest.raises(DataError, match="span 0 directions"):
        principal_components(whole, 1)


def test_sums_over_bright_images_are_exact():
    """Many images of the largest values: what float32 could not add is added right."""
    chance = np.random.default_rng(2)
    x = torch.from_numpy(chance.choice(np.array([0, 1, 254, 255], np.uint8), size=(3000, 1, 2, 2)))
    data = LabelledData(train_x=x, train_y=torch.zeros(3000, dtype=torch.int64))
    components = principal_components(data, 4)
    exact = np.cov(x.reshape(3000, 4).numpy().astype(np.int64), rowvar=False, bias=True)
    torch.testing.assert_close(components.centre, x.double().mean(0).flatten(), rtol=1e-14, atol=0)
    values = np.sort(np.linalg.eigvalsh(exact))[::-1]
    projected = components.project(x).double()
    measured = projected.square().mean(0).numpy()
    np.testing.assert_allclose(measured, values / values.mean(), rtol=1e-6)


def test_a_network_learns_from_vectors(tmp_path):
    options = MnistOptions(if_absent="sample", labels="odd_even", pca=10, subset=100, test=50)

    class Linear(ModuleOptions):
        def module(self, shape, classes):
            return torch.nn.Linear(shape[0], classes)

    network = Linear(data=options).build(at(tmp_path, "system"))
    assert isinstance(network, Network)
    assert (network.dof, network.terms, network.splits) == (22, 100, ("train", "test"))
    state = network.initial(streams(1))
    start = network.evaluate(state, "test").accuracy
    for _ in range(200):
        state.x -= 0.3 * network.gradient(state).gradient
    assert network.evaluate(state, "train").accuracy > 0.8
    assert network.evaluate(state, "test").accuracy > max(start, 0.7)
    assert {"data_source", "data_sha256", "data_part", "data_subset", "data_labels", "data_pca"} <= set(network.provenance)


def test_images_are_disorder_only_if_asked(tmp_path):
    assert not MnistOptions(subset=100).disordered
    assert MnistOptions(subset=100, per_sample=True).disordered
    with pytest.raises(ValidationError, match="per_sample = true, but nothing is drawn from the set"):
        MnistOptions(per_sample=True)
    one, other = (
        MnistOptions(if_absent="sample", labels="random", per_sample=True).load(at(tmp_path, sample=sample)) for sample in (0, 1)
    )
    assert not torch.equal(one.train_y, other.train_y)
    torch.testing.assert_close(one.train_x, other.train_x)


@pytest.mark.parametrize("options", [{"subset": 0}, {"pca": 0}, {"labels": "shuffled"}, {"subset": 1.5}, {"pca": True}])
def test_options_without_meaning(options):
    with pytest.raises(ValidationError):
        MnistOptions(**options)
