"""How Sphinx builds the documentation: ``make docs``."""

import sys
from pathlib import Path

import metaplax

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "metaplax"
author = "the metaplax authors"
release = metaplax.__version__
extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
    "sphinx_copybutton", "sphinx_design", "docstring_math", "mathml", "public_names", "signatures",
]  # fmt: skip
if not tags.has("without_source"):  # a page per module, which takes as long as everything else
    extensions.append("sphinx.ext.viewcode")
exclude_patterns = ["**.ipynb_checkpoints"]
nitpicky = True

# Pages and notebooks
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"  # a cache does not notice that the package has changed
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_execution_show_tb = True
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos, .gp, .go"

# Reference
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = False
autodoc_default_options = {
    "members": True,
    "special-members": "__call__",
    "inherited-members": "Module, object, tuple, Exception, RuntimeError, ValueError, Warning, Enumeration",
    "show-inheritance": True,
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # types are in the signature
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# Look
html_theme = "furo"
html_title = "metaplax"
html_static_path = ["_static"]
html_css_files = ["metaplax.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "tango"
pygments_dark_style = "github-dark"
