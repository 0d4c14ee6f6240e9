"""Hostile specs and data files, and the judges that read them."""
