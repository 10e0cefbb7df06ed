"""Tasks for processes in a ring, in a file that they import quickly."""

import os

import torch


def without_end(ring):
    """Every exchange is followed by another."""
    while True:
        ring.exchange(torch.zeros(1))


def rank_1_leaves(ring):
    """It ends without a word, and the others wait for it."""
    if ring.rank == 1:
        os._exit(0)
    ring.exchange(torch.zeros(1))
