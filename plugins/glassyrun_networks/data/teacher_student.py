"""Gaussian inputs with the labels of a random teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from glassyrun_networks.data.generated import MOST_SIDES, GeneratedOptions

if TYPE_CHECKING:
    from glassyrun import Context
    from glassyrun_networks.data.vectors import Drawn


class TeacherStudentOptions(GeneratedOptions):
    """Teacher and student: Gaussian inputs with the labels that a fixed random network gives them.

    Every component of an input is N(0, 1), every weight of the teacher N(0, 1/number of inputs of its layer). The teacher is the
    same for training and test set; teacher and inputs are drawn anew for each sample. Perceptron: the label is argmax_k w_k·x,
    with two classes sign(w·x) (Seung, Sompolinsky and Tishby, Phys. Rev. A 45, 6056, 1992). Committee: the majority of `width`
    perceptrons. Mlp: argmax_k Σ_j v_kj erf(w_j·x/√2), with the activation of Saad and Solla (Phys. Rev. E 52, 4225, 1995).
    """

    kind: Literal["teacher_student"] = "teacher_student"
    teacher: Annotated[
        Literal["perceptron", "committee", "mlp"], Field(description="what gives the labels; a committee knows two classes")
    ] = "perceptron"
    width: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_SIDES,
            description="perceptrons of a committee (an odd number), or hidden neurons of an mlp; a perceptron has none",
        ),
    ] = 3
    classes: Annotated[int, Field(ge=2, le=100_000, description="number of classes")] = 2

    @model_validator(mode="after")
    def _possible(self) -> TeacherStudentOptions:
        if self.teacher == "committee" and self.classes != 2:
            raise ValueError(f'classes = {self.classes}, but a committee votes yes or no: expected 2, or teacher = "mlp"')
        if self.teacher == "committee" and self.width % 2 == 0:
            raise ValueError(
                f"width = {self.width}, but a committee of an even number can be split in half: expected an odd number"
            )
        return self

    def number_of_classes(self) -> int:
        return self.classes

    def law(self) -> str:
        network = "a perceptron" if self.teacher == "perceptron" else f"{self.teacher} of width {self.width}"
        return f"components N(0, 1), labels of {network}"

    def law_bytes(self) -> int:
        from glassyrun_networks.data.vectors import ROWS

        outputs = 0 if self.teacher == "committee" else self.classes
        hidden = 0 if self.teacher == "perceptron" else self.width
        weights = hidden * self.dimension + outputs * (hidden or self.dimension)
        return 8 * (2 * weights + ROWS * (self.dimension + 3 * hidden + outputs))

    def draw(self, context: Context) -> Drawn:
        from glassyrun_networks.data.vectors import TEACHERS, gaussian, taught

        teacher = TEACHERS[self.teacher](context.stream("teacher"), self.dimension, self.classes, self.width)
        x = gaussian(context.stream("inputs"), self.train + self.test, self.dimension)
        return x, taught(x, teacher)
