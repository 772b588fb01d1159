"""The site: Markdown pages as they are, and the API from the package itself. `make docs` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

import fastoutputs

sys.path.insert(0, str(Path(__file__).parent))  # for api_tables and figures

project = "fastoutputs"
author = "the fastoutputs authors"
project_copyright = author
release = fastoutputs.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "api_tables", "figures"]
myst_heading_anchors = 3
default_role = "code"  # docstrings mark code with single backticks, as the pages do
nitpicky = True
# What annotations name and these pages do not have: types of Python and of other libraries, a type variable.
nitpick_ignore_regex = [
    ("py:.*", r"(?!fastoutputs\.).*"),
    ("py:.*", r"fastoutputs\.pytree\.Output"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_rtype = False  # the signature has it
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"fastoutputs {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
