"""What is measured, as a plugin of glassyrun."""
