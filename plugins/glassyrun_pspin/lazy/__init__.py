"""The p-spin without its couplings: disorder that is drawn where a trajectory looks, and nowhere else."""
