"""Energies against loops in float64, and the identities that the energy paper builds on."""

import math

import pytest
import torch

from robustlens.energy.energies import joint_energy, kl_divergence, marginal_energy, trades_terms

CLASSES = 5


def some_logits(seed: int, batch: int = 6) -> torch.Tensor:
    return 3 * torch.randn(batch, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NATURAL, ADVERSARIAL = some_logits(1), some_logits(2)
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def loop_marginal(z: list[float]) -> float:
    return -math.log(sum(math.exp(v) for v in z))


def loop_softmax(z: list[float]) -> list[float]:
    return [math.exp(v) / sum(math.exp(u) for u in z) for v in z]


def loop_kl(z: list[float], a: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(loop_softmax(z), loop_softmax(a), strict=True))


def close(found: torch.Tensor, expected: list[float]) -> bool:
    return found.shape == (len(expected),) and found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_marginal_energy():
    assert close(marginal_energy(NATURAL), [loop_marginal(z) for z in NATURAL.tolist()])


def test_joint_energy():
    assert close(joint_energy(NATURAL, LABELS), [-z[y] for z, y in zip(NATURAL.tolist(), LABELS.tolist(), strict=True)])


def test_cross_entropy_is_joint_minus_marginal():
    expected = [-math.log(loop_softmax(z)[y]) for z, y in zip(NATURAL.tolist(), LABELS.tolist(), strict=True)]
    assert close(joint_energy(NATURAL, LABELS) - marginal_energy(NATURAL), expected)


def test_posterior_is_the_exponential_of_marginal_minus_joint():
    expected = [loop_softmax(z)[y] for z, y in zip(NATURAL.tolist(), LABELS.tolist(), strict=True)]
    assert close((marginal_energy(NATURAL) - joint_energy(NATURAL, LABELS)).exp(), expected)


def test_kl_divergence():
    pairs = list(zip(NATURAL.tolist(), ADVERSARIAL.tolist(), strict=True))
    assert close(kl_divergence(NATURAL, ADVERSARIAL), [loop_kl(z, a) for z, a in pairs])
    assert close(kl_divergence(NATURAL, NATURAL), [0.0] * len(pairs))


@pytest.mark.parametrize("argument", ["natural", "adversarial"])
def test_kl_gradient_is_the_finite_difference(argument: str):
    natural, adversarial = NATURAL[0].tolist(), ADVERSARIAL[0].tolist()
    tensors = [torch.tensor([z], dtype=torch.float64, requires_grad=True) for z in (natural, adversarial)]
    kl_divergence(*tensors).sum().backward()
    moved = 0 if argument == "natural" else 1
    for k in range(CLASSES):
        values = []
        for step in (1e-5, -1e-5):
            pair = [list(natural), list(adversarial)]
            pair[moved][k] += step
            values.append(loop_kl(*pair))
        assert tensors[moved].grad[0, k].item() == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_trades_terms():
    conditional, marginal = [], []
    for z, a in zip(NATURAL.tolist(), ADVERSARIAL.tolist(), strict=True):
        # joint energies are minus the logits
        conditional.append(sum(p * (-a[k] + z[k]) for k, p in enumerate(loop_softmax(z))))
        marginal.append(loop_marginal(z) - loop_marginal(a))
    found_conditional, found_marginal = trades_terms(NATURAL, ADVERSARIAL)
    assert close(found_conditional, conditional)
    assert close(found_marginal, marginal)


def test_trades_terms_add_up_to_the_kl():
    pairs = list(zip(NATURAL.tolist(), ADVERSARIAL.tolist(), strict=True))
    conditional, marginal = trades_terms(NATURAL, ADVERSARIAL)
    assert close(conditional + marginal, [loop_kl(z, a) for z, a in pairs])
    assert torch.allclose(conditional + marginal, kl_divergence(NATURAL, ADVERSARIAL), rtol=0, atol=1e-12)


def test_energies_are_natural_units():
    """K equal logits c: E(x) = -c - ln K. One dominant logit: E(x) is minus that logit."""
    equal, dominant = torch.tensor([[2.0] * 10, [50.0, *[0.0] * 9]], dtype=torch.float64)
    assert close(marginal_energy(equal[None]), [-2.0 - math.log(10)])
    assert close(marginal_energy(dominant[None]), [-50.0])


def test_extreme_logits_stay_finite_in_single_precision():
    high, low = 1e4, -1e4
    natural = torch.tensor([[high, low, 0.0], [low, low, low], [high, high, high]], requires_grad=True)
    adversarial = torch.tensor([[low, high, 0.0], [high, low, low], [low, low, high]], requires_grad=True)
    y = torch.tensor([0, 1, 2])
    conditional, marginal = trades_terms(natural, adversarial)
    kl = kl_divergence(natural, adversarial)
    # By hand: p is (1, 0, 0) or uniform, log q is 0 on the largest logit and minus the gap elsewhere.
    third = math.log(3)
    # Single precision rounds at 2^-24: a softmax, its product with a difference and the sum of three at most 16 times.
    single = {"rel": 16 * 2**-24}
    expected_kl = [2e4, 2 / 3 * 2e4 - third, 2 / 3 * 2e4 - third]
    assert kl.tolist() == pytest.approx(expected_kl, **single)
    assert (conditional + marginal).tolist() == pytest.approx(expected_kl, **single)
    assert marginal_energy(natural).tolist() == pytest.approx([-1e4, 1e4 - third, -1e4 - third], **single)
    assert joint_energy(natural, y).tolist() == [-1e4, 1e4, -1e4]
    (kl.sum() + conditional.sum() + marginal.sum()).backward()
    assert torch.isfinite(natural.grad).all()
    assert torch.isfinite(adversarial.grad).all()
