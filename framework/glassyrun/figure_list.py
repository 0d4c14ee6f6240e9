"""The figures of `glassyrun plot`. One more is a function of its name in `glassyrun.analysis.recipes` and a line here.

Nothing heavy is imported: `glassyrun plot --help` shows this list.
"""

FIGURES = {
    "summary": "energy, displacement, and overlap, or test accuracy and gradient noise (the default)",
    "regimes": "energy above the bottom, with the end of exploration t₁ and the arrival t₂",
    "collapse": "Δ over the gradient noise D(t_w), after t₂",
    "diffusion": "Δ at the bottom against white steps, law and exponent; of one or more runs",
    "aging": "Δ against t/t_w^μ, beside the null model",
    "relaxation": "relaxation time τ(t_w), beside the null model",
    "fdt": "response against correlation",
    "effective_temperature": "T/X against t_w",
    "chi4": "dynamical susceptibility χ₄ by source",
    "alpha2": "non-Gaussian parameter α₂",
    "superposition": "correlations of runs at different temperature, against t/a(T)",
    "sgd_temperature": "temperature of the noise of SGD; of one or more runs",
    "fixed_ratio": "loss of runs of SGD on flow time, by α/B",
    "compare": "runs of different systems on flow time",
    "finite_size": "runs of different size against 1/N",
}
