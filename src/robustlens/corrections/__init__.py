"""Corrections of a trained classifier's last layer, for the sake of its worst class. One file each, with one frozen
dataclass whose fields are its parameters.

    strengths: those that are tried on validation images.
    correct(layer, strength, prior): changes a linear layer (K, d) with a bias in place. prior: (K,), a distribution
        over the classes.

`choosing` tries them.
"""
