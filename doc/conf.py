"""Settings of the manual; ``make docs`` builds it."""

from __future__ import annotations

import importlib.metadata

project = "papy"
author = "the papy developers"
copyright = "2026, the papy developers"
try:
    release = importlib.metadata.version("papy")
except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed
    release = ""

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "A parallel map, and pipelines built on it", "fixed_sidebar": True}

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Guarantees"]
