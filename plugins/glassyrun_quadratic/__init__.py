"""A quadratic energy (linear regression) as a plugin of glassyrun: the exactly solvable null model."""
