"""The figures of `glassyrun plot`. One more is a function of its name in `glassyrun.analysis.recipes` and a line here.

Nothing heavy is imported: `glassyrun plot --help` shows this list.
"""

FIGURES = {
    "summary": "energy, displacement; overlap, or test accuracy and gradient noise",
    "regimes": "energy above the bottom; t₁, end of exploration, and t₂, arrival",
    "collapse": "Δ over the gradient noise D, after t₂",
    "diffusion": "Δ at the bottom against white steps, and its law; one run or several",
    "aging": "Δ against t/t_w^μ, beside the null model",
    "relaxation": "relaxation time τ(t_w), beside the null model",
    "fdt": "response against correlation",
    "effective_temperature": "T/X against t_w",
    "chi4": "dynamical susceptibility χ₄ by source",
    "alpha2": "non-Gaussian parameter α₂",
    "superposition": "C of runs of different temperature, against t/a(T)",
    "sgd_temperature": "temperature of the noise of SGD; one run or several",
    "fixed_ratio": "loss of runs of SGD on flow time, by α/B",
    "compare": "runs of different systems on flow time",
    "finite_size": "runs of different size against 1/N",
}
