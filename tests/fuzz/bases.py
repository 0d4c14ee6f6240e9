"""Specs that mutations begin from: those that are shipped, and one that names nearly every option there is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "specs"

OWN = (
    """\
seed = 3
[system]
kind = "pspin"
n = 24
mixture = { 3 = 1.0, 4 = 0.5 }
couplings = "binary"
diagonals = true
initial_temperature = 2.0
[dynamics]
kind = "sgd"
learning_rate = 0.01
momentum = 0.9
nesterov = true
batch_size = 0.1
sampling = "with_replacement"
[schedule]
horizon = 100
time = { from = 0, to = 100, n = 11 }
t_w = { per_decade = 2, to = 50 }
t = [0, 1, 2, 3, 5, 8]
[ensemble]
samples = 2
replicas = 3
start = "shared"
[[observables]]
kind = "energy"
[[observables]]
kind = "msd"
name = "delta"
[[observables]]
kind = "overlap"
[[observables]]
kind = "participation"
[run]
device = "cpu"
dtype = "float64"
threads = 1
checkpoint_seconds = 5.0
""",
    """\
[system]
kind = "pspin"
n = 40
p = 3
dilution = 2.5
[[dynamics]]
kind = "quench"
dt = 0.05
until = 1.0
[[dynamics]]
kind = "langevin"
dt = 0.1
temperature = 0.3
ramp = { start = 1.0, until = 1.5 }
[schedule]
horizon = 5
""",
    """\
seed = 1
[system]
kind = "quadratic"
n = 10
terms = 30
noise = 0.2
spectrum = "power"
exponent = 0.5
[dynamics]
kind = "langevin"
temperature = 0.1
dt = 0.05
batch_size = 10
[schedule]
horizon = 10.0
t_w = [0.0, 1.0, 2.5]
[[observables]]
kind = "gradient_noise"
batches = 4
[[observables]]
kind = "van_hove"
largest = 5.0
bins = 20
""",
    """\
[system]
kind = "mlp"
widths = [8, 4]
activation = "tanh"
loss = "hinge"
l2 = 0.01
init = "ntk"
chunk = 10
[system.data]
kind = "teacher_student"
dimension = 12
train = 40
test = 20
teacher = "committee"
width = 3
subset = 30
[dynamics]
kind = "sgd"
batch_size = 5
[schedule]
horizon = 50
[ensemble]
replicas = 2
[[observables]]
kind = "test"
[[observables]]
kind = "train"
terms = 10
[[observables]]
kind = "time_to_accuracy"
accuracy = 0.9
""",
    """\
[system]
kind = "mlp"
widths = []
[system.data]
kind = "gaussian_mixture"
dimension = 6
clusters = 3
separation = 2.0
labels = "random"
pca = 4
[dynamics]
kind = "quench"
dt = 0.1
[schedule]
horizon = 3.0
""",
    """\
[system]
kind = "cnn"
channels = [3]
hidden = 5
[system.data]
kind = "mnist"
train = 60
test = 20
subset = 40
labels = "odd_even"
[dynamics]
kind = "sgd"
batch_size = 10
[schedule]
horizon = 20
time = { n = 5 }
""",
)


@cache
def bases() -> tuple[str, ...]:
    """The texts of all of them; the shipped ones in the order of their names."""
    return (*OWN, *(path.read_text() for path in sorted(SHIPPED.glob("*.toml"))))
