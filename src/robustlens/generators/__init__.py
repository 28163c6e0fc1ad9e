"""Generators: sources of images that were not photographed. One file per family, with one frozen dataclass whose fields
are its parameters.

    fit(pixels, labels, classes, random, work) -> Fitted
        pixels: float (N, C, H, W) in [0, 1], the training images and no others, which stay as they are.
        labels: int64 (N,), from 0 to classes - 1. random: a numpy.random.Generator for all that is drawn.
        work: see `work`; only fits that take long use it.
        Raises RobustlensError for a class with too few training images (`classes.positions_by_class`).

    restored(state, shape, device) -> Fitted
        As it was fitted; state: what `Fitted.state()` gave. shape: (C, H, W).

    Fitted.state() -> dict of numpy arrays
        All that sampling needs beside the parameters; a safetensors file holds it.

    Fitted.sample(label, count, random) -> float (count, C, H, W) in [0, 1]
        New images of one class. They depend on what was fitted, on the arguments and on nothing else. A family with the
        parameter `conditional` gets the label None where that is false, and gives images of any class.

`pool` writes many such images to disk, `fitted` the file of a fitted generator.
"""
