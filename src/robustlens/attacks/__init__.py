"""Attacks: one file per family, with one frozen dataclass whose fields are its parameters.

    __call__(model, x, y, threat, generator) -> x_adv
        model: from images to logits (B, K); in eval mode, but for trainings whose protocol says otherwise.
        x: (B, C, H, W) in [0, 1]; y: int64 (B,). generator: for all that is drawn, on the device of x.
        x_adv: of the shape of x, in [0, 1] and, but for attacks that look for the nearest adversarial image, inside the
        ball of the threat.

`margin_pgd` is a short example. `threat` has the balls, `library` what attacks of pyautoattack share.
"""
