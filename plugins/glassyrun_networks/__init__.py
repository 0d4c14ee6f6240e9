"""Neural networks and data sets as a plugin of glassyrun."""
