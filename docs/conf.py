"""The documentation as a site: `make docs`. The pages are plain Markdown and read as well where they lie."""

project = "AeroFn"
html_title = "AeroFn"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_site"]
html_theme = "furo"
html_show_sphinx = False
# Links out of docs/, such as to the contract: tests/docs/test_site.py checks every link of every page.
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]
