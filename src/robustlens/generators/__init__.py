"""Generators: sources of images that were not photographed. One file per family, with one frozen dataclass whose fields
are its parameters.

    fit(pixels, labels, classes, random) -> Fitted
        pixels: float (N, C, H, W) in [0, 1], the training images and no others, which stay as they are.
        labels: int64 (N,), from 0 to classes - 1. random: a numpy.random.Generator for all that is drawn.
        Raises RobustlensError for a class with too few training images (`classes.positions_by_class`).

    Fitted.sample(label, count, random) -> float (count, C, H, W) in [0, 1]
        New images of one class. They depend on what was fitted, on the arguments and on nothing else.

`pool` writes many such images to disk.
"""
