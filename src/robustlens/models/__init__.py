"""Architectures: one file per family, with one frozen dataclass whose fields are its parameters.

    build(channels, classes) -> nn.Module
        With fresh weights, from images (B, channels, H, W) in [0, 1] to logits (B, classes). `features(x)` (B, d) is
        what its last layer sees, and `linear` that layer.

`mlp` is a short example. The other files load, guess and run networks.
"""
