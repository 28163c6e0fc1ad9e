"""The claims of "Shedding More Light on Robust Classifiers under the lens of Energy-based Models" (ECCV 2024), section
by section. All say that something is greater than a bound; each rule stands above its code in words.
"""

from robustlens.analysis import (
    claims_energy_attacks,
    claims_energy_generation,
    claims_energy_robustness,
    claims_energy_training,
)
from robustlens.analysis.claims import Claim

CLAIMS: list[Claim] = [
    *claims_energy_attacks.CLAIMS,
    *claims_energy_training.CLAIMS,
    *claims_energy_robustness.CLAIMS,
    *claims_energy_generation.CLAIMS,
]
