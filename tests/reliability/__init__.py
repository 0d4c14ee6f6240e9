"""Proofs that nothing is lost: kills, crash states of a disk, failing calls, damaged files, two owners."""
