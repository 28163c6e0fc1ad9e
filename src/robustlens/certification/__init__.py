"""Certified robustness: predictions that provably stay the same within a ball around an image.

Each family of certifications is one file, with one frozen dataclass whose fields are its parameters and which refuses
what does not fit together. It is read while the workflow is parsed, so it imports no torch and no scipy.

    smoothing  the settings of randomised smoothing (Cohen et al. 2019)
    counting   how often a classifier gives each class under noise
    bounds     what follows from such counts
    run        all images of a split, in blocks that a killed job need not repeat
    joining    one table of several
"""
