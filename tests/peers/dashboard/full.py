"""Every scenario at both widths and in both themes, and what the page does while one looks at it."""

from drive import run

run(["revision-change", "null", "srm", "drift", "missing"], 600, live=True)
