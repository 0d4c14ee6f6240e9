"""Data sets: where they lie, how they are read and checked, and the sample that is part of the package."""
