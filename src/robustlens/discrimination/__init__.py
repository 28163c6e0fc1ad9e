"""How well real images can be told from generated ones, if each may be moved within a ball: the area under the robust
discrimination curve (ARC) of Sehwag et al. 2022, "Robust Learning Meets Generative Models", and the choice of generated
images by what such a discriminator says of them.

`sides` splits real and generated images, `discriminator` trains discriminators, `accuracy` attacks them, `curve`
measures the curve, `area` what lies below it, `pool_scores` judges the images of a pool, and `selection` chooses some.

The text of the paper was not at hand: discriminators, radii and shares are ours. Numbers are comparable among
generators that were measured alike, and not with published ones.
"""
