"""How close generated images are to real ones, and what that says about the robustness of classifiers on both.

Images are arrays (N, ...) in [0, 1], labels int (N,), from 0 to classes - 1. Everything is computed in float64 and in
memory: of a large set, draw positions first (`drawing`), and read the images at those. A distance is in a norm with the
name that threats have: `l2` or `linf`.
"""
