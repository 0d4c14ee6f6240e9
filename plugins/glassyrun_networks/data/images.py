"""What every set of labelled images shares: a local file is preferred, else a download, else what `if_absent` says."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from glassyrun import DataError
from glassyrun_networks.data.prepare import PreparedOptions

if TYPE_CHECKING:
    from glassyrun import Context, LabelledData
    from glassyrun_networks.data.arrays import Arrays, Form

SAMPLE_SECONDS = 60.0
"""Most time a download may take where the packaged sample would do instead."""


class ImageOptions(PreparedOptions):
    """A set of labelled images.

    A new set is a subclass with a `kind`, the constants below, and the methods that read it; see `cifar` and `mnist`.
    """

    title: ClassVar[str]
    image: ClassVar[tuple[int, int, int]]
    """Height, width, channels."""
    classes: ClassVar[int] = 10
    mean: ClassVar[Sequence[float]]
    """Of the whole training set per channel, in units of the brightest pixel value."""
    std: ClassVar[Sequence[float]]
    packaged: ClassVar[tuple[str, str] | None] = None
    """File name and SHA-256 of the sample that is part of the package, if there is one."""

    if_absent: Annotated[
        Literal["stop", "sample"],
        Field(
            description="where the set is neither on this machine nor to be downloaded: stop, or use the sample of it that is "
            "part of the package (cifar10 and mnist have one), and say so"
        ),
    ] = "stop"
    train: Annotated[int | None, Field(ge=1, description="use only the first N training images; default: all")] = None
    test: Annotated[int | None, Field(ge=1, description="use only the first N test images; default: all")] = None
    per_sample: Annotated[
        bool,
        Field(
            description="draw subset and random labels anew for each sample of the disorder; default: one draw for all samples"
        ),
    ] = False

    @model_validator(mode="after")
    def _sensible(self) -> ImageOptions:
        if self.if_absent == "sample" and self.packaged is None:
            raise ValueError(
                f'if_absent = "sample", but no sample of {self.title} is part of the package: expected "stop", or another kind'
            )
        if self.per_sample and self.subset is None and self.labels != "random":
            raise ValueError(
                'per_sample = true, but nothing is drawn from the set: expected subset = N or labels = "random" beside it'
            )
        return self

    @property
    def disordered(self) -> bool:
        return self.per_sample

    @property
    def form(self) -> Form:
        from glassyrun_networks.data.arrays import Form

        return Form(self.image, self.classes)

    @property
    def npz(self) -> str:
        """Name of the npz file that stands for the set where its own files are absent."""
        return f"{self.kind}.npz"

    @abstractmethod
    def own(self) -> Sequence[str]:
        """The set's own files below the data root, in every place and packing that `local` looks at."""

    @abstractmethod
    def local(self, root: Path) -> Arrays | None:
        """The set from its own files below `root`, or None where there are none.

        Raises:
            DataError: if they are damaged.
        """

    @abstractmethod
    def fetch(self, root: Path, seconds: float | None) -> None:
        """Downloads the set's own files into `root`, in at most `seconds` seconds.

        Raises:
            NotFetched: if that can't be done.
            OSError: if `root` can't be written.
        """

    @abstractmethod
    def files(self) -> str:
        """Which files hold the set and where they are to be had, for whoever has to fetch them by hand."""

    def stamp(self, context: Context) -> Hashable:
        from glassyrun_networks.data.places import data_root, stamps

        root = data_root(context)
        return root, stamps(root / name for name in (*self.own(), self.npz))

    def whole(self, context: Context) -> LabelledData:
        """The set on the host: images uint8 [image, channel, height, width]; see the base class."""
        from glassyrun_networks.data.places import data_root

        root = data_root(context)
        arrays = self._found(root)
        if arrays is not None:
            return self._taken(arrays, ())
        reason = self._fetched(root)
        arrays = self._found(root) if reason is None else self._sample() if self.if_absent == "sample" else None
        if arrays is None:
            remedy = ', or set system.data.if_absent = "sample" to run on the packaged sample' if self.packaged else ""
            raise DataError(
                f"{self.title} is not in {root} and could not be downloaded ({reason}): put {self.files()} there, or name another "
                f"folder with --data DIR{remedy}"
            )
        if reason is not None:  # for the terminal
            logging.getLogger("glassyrun").warning("%s is not in %s and could not be downloaded: %s", self.title, root, reason)
        # no folder and no reason in here: the warning is part of the result, which is the same bytes on every machine
        warning = (
            f"{self.title} is neither on this machine nor could it be downloaded: running on the packaged SAMPLE of "
            f"{len(arrays.train_y)} training and {len(arrays.test_y)} test images; "
            f"for the full set put {self.files()} into the data folder (--data DIR, GLASSYRUN_DATA, or the user's cache)"
        )
        return self._taken(arrays, () if reason is None else (warning,))

    def _found(self, root: Path) -> Arrays | None:
        from glassyrun_networks.data.npz import read_npz

        try:
            own = self.local(root)
            if own is not None:
                return own
            return read_npz(root / self.npz, self.form) if (root / self.npz).is_file() else None
        except OSError as error:
            raise DataError(
                f"{root}: can't be looked into ({error.strerror or error}): mend its rights, or name another folder with --data DIR"
            ) from error

    def _sample(self) -> Arrays | None:
        from glassyrun_networks.data.sample import packaged

        return None if self.packaged is None else packaged(*self.packaged, self.form)

    def _fetched(self, root: Path) -> str | None:
        """Why the set could not be downloaded, or None if it was."""
        from glassyrun_networks.data.download import NotFetched

        try:
            self.fetch(root, SAMPLE_SECONDS if self.if_absent == "sample" else None)
        except NotFetched as error:
            return str(error)
        except OSError as error:
            return f"{root} can't be written: {error.strerror or error}"
        return None

    def _taken(self, arrays: Arrays, warnings: Sequence[str]) -> LabelledData:
        """The images that `train` and `test` name."""
        from glassyrun import LabelledData
        from glassyrun_networks.data.arrays import first

        for part, wanted in (("train", self.train), ("test", self.test)):
            there = len(getattr(arrays, f"{part}_y"))
            if wanted is not None and wanted > there:
                raise DataError(
                    f"system.data.{part} = {wanted}, but {arrays.source} has {there} {part} images: ask for at most that"
                )
        train_x, train_y = first(self.train, arrays.train_x, arrays.train_y)
        test_x, test_y = first(self.test, arrays.test_x, arrays.test_y)
        part = "; ".join(
            f"{part}: first {len(taken)} of {len(there)} images"
            for part, taken, there in (("train", train_y, arrays.train_y), ("test", test_y, arrays.test_y))
        )
        provenance = {"data": self.kind, "data_source": arrays.source, "data_sha256": arrays.sha256, "data_part": part}
        return LabelledData(
            train_x=train_x.movedim(-1, 1),
            train_y=train_y,
            test_x=test_x.movedim(-1, 1),
            test_y=test_y,
            classes=self.classes,
            mean=self.mean,
            std=self.std,
            provenance=provenance,
            warnings=tuple(warnings),
        )
