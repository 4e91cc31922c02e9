"""The whole matrix: every SDK, protocol and answer, with and without gzip."""

from proof import ANSWERS, PROTOCOLS, cells, prove

prove(cells(PROTOCOLS, ANSWERS, [False, True]), 4)
