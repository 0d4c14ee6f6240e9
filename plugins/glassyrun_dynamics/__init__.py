"""Quench, Langevin dynamics and SGD as a plugin of glassyrun."""
