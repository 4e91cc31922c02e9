"""The pages of the demo's default scenario at two widths and in both themes: they render without complaint, reach
nobody else, are accessible, and every link leads somewhere."""

from drive import run

run(["revision-change"], 100, live=False)
