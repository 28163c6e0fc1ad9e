"""Energies of a classifier read as an energy-based model (Grathwohl et al. 2020; Mirza et al. 2024, section 3).

Logits f(x) in R^K, natural logarithm, no temperature. All functions are per sample, (B, K) -> (B,).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def marginal_energy(logits: Tensor) -> Tensor:
    """E(x) = -logsumexp_k f(x)[k]."""
    return -torch.logsumexp(logits, dim=1)


def joint_energy(logits: Tensor, y: Tensor) -> Tensor:
    """E(x, y) = -f(x)[y], for labels y (B,) of dtype int64."""
    return -logits.gather(1, y.unsqueeze(1)).squeeze(1)


def kl_divergence(natural_logits: Tensor, adversarial_logits: Tensor) -> Tensor:
    """KL(p(.|x) || p(.|x*)), differentiable in both arguments."""
    log_p = F.log_softmax(natural_logits, dim=1)
    log_q = F.log_softmax(adversarial_logits, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def trades_terms(natural_logits: Tensor, adversarial_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the KL of TRADES (Mirza et al. 2024, Proposition 1); they add up to `kl_divergence`.

    conditional: E_{k ~ p(.|x)} [ E(x*, k) - E(x, k) ]
    marginal:    E(x) - E(x*)
    """
    p = F.softmax(natural_logits, dim=1)
    conditional = (p * (natural_logits - adversarial_logits)).sum(dim=1)
    marginal = marginal_energy(natural_logits) - marginal_energy(adversarial_logits)
    return conditional, marginal
