"""A part of the matrix in under two minutes: Python, Node and Go, all protocols, the answers that tell most."""

import itertools

from proof import cells, prove

chosen = itertools.chain(
    cells(["python"], ["partial", "unavailable", "oversize", "shutdown"], [True]),
    cells(["node"], ["unavailable", "oversize", "resets"], [False]),
    cells(["go"], ["unavailable", "shutdown", "too many"], [True]),
)
prove(chosen, 4)
