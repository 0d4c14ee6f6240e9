"""Sphinx configuration: `sphinx-build -W docs docs/_build/html`."""

import importlib.metadata
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # notebooks are small; they need no more

project = "glassyrun"
author = "The glassyrun authors"
copyright = author
version = release = importlib.metadata.version("glassyrun")

extensions = ["myst_nb"]
exclude_patterns = ["_build", "jupyter_execute"]
source_suffix = {".md": "myst-nb"}

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_render_image_options = {"width": "560px"}

html_theme = "pydata_sphinx_theme"
html_title = "glassyrun"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"**": []}  # every page is at the top level
html_show_sourcelink = False
