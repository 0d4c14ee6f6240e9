"""The spherical p-spin as a plugin of glassyrun."""
