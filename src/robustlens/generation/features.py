"""The two networks whose features the scores are computed from, behind one interface.

`classifier`: one of this project's own networks, for scales without the Inception weights. Its scores are comparable
    among themselves only and are never called IS, FID or KID.
`inception`: the network of FID and IS (Heusel et al. 2017) as ported by pytorch-fid.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robustlens.data.prepared import PreparedDataset, checksum
from robustlens.data.verification import verify
from robustlens.errors import RobustlensError
from robustlens.generation import inception_weights
from robustlens.models.weights import build

SCORE_NAMES = {
    "classifier": {
        "frechet": "Fréchet classifier distance",
        "score": "classifier score",
        "kid": "kernel classifier distance",
    },
    "inception": {"frechet": "FID", "score": "IS", "kid": "KID"},
}


def score_names(kind: str) -> dict[str, str]:
    """What the scores `frechet`, `score` and `kid` are called when the features are of this kind: labels for tables."""
    return SCORE_NAMES[kind]


def open_network(
    kind: str, weights: Path, architecture: dict, data: PreparedDataset, device: torch.device
) -> "FeatureNetwork":
    """The feature network of that kind; architecture and data say what a `classifier` looks like."""
    if kind == "inception":
        return inception_network(weights, device)
    return classifier_network(build(architecture, data.channels, data.classes), weights, device)


class FeatureNetwork:
    """A frozen network and what one must know of it to compare its scores with others.

    kind: `classifier` or `inception`. resize: how images are brought to the network's input size.
    weights_sha256: of the weights file. dims: d, the length of a feature.
    """

    def __init__(
        self, kind: str, network: nn.Module, dims: int, resize: str, weights_sha256: str, device: torch.device | str
    ):
        self.kind = kind
        self.dims = dims
        self.resize = resize
        self.weights_sha256 = weights_sha256
        self.device = device
        self._network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def features(self, images: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, d) and logits (N, K) of images float32 (N, C, H, W) in [0, 1]; float64 arrays.

        The network runs in float32 (no TF32), on images that are not rounded to 8 bits.
        """
        features, logits = [], []
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(images), batch_size):
                batch = torch.tensor(images[start : start + batch_size], dtype=torch.float32, device=self.device)
                batch_features, batch_logits = self._network(batch.contiguous(memory_format=torch.channels_last))
                features.append(batch_features.cpu().double())
                logits.append(batch_logits.cpu().double())
        return torch.cat(features).numpy(), torch.cat(logits).numpy()


def classifier_network(model: nn.Module, weights: Path, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Penultimate features and logits of a classifier of this project.

    model: built with the architecture of the weights; it has `features` and `linear`, as `models.resnet` has.
    weights: a safetensors file with its state.
    Raises RobustlensError when the file is missing, is not such a file or is of another architecture.
    """
    if not weights.exists():
        raise RobustlensError(f"{weights}: no such weights; train this classifier first")
    try:
        model.load_state_dict(load_file(weights))
    except (RuntimeError, SafetensorError) as error:
        raise RobustlensError(f"{weights}: not the weights of this architecture: {error}") from None
    return FeatureNetwork("classifier", _Classifier(model), model.linear.in_features, "none", checksum(weights), device)


def inception_network(weights: Path, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Inception-v3 of FID and IS: 2,048 pooled features; logits of 1,008 classes without the bias, as IS takes them.

    weights: the file that `inception_weights.ARCHIVE` describes; verified here too.
    Images of one channel are repeated to three.
    """
    verify(weights, inception_weights.ARCHIVE)
    network = _inception_structure()
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    resize, sha256 = "torch bilinear to 299x299, no antialias", inception_weights.ARCHIVE["sha256"]
    return FeatureNetwork("inception", _Inception(network), 2048, resize, sha256, device)


def _inception_structure() -> nn.Module:
    """torchvision's Inception-v3 with the blocks in which the FID network differs, without weights.

    pytorch-fid's own constructor cannot be used: it downloads the weights to a folder of its own choice, unchecked.
    """
    # Imported here, because torchvision is slow to import and the embedded scale does without it.
    from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2
    from torchvision.models import Inception3

    network = Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    blocks = {
        "Mixed_5b": FIDInceptionA(192, pool_features=32),
        "Mixed_5c": FIDInceptionA(256, pool_features=64),
        "Mixed_5d": FIDInceptionA(288, pool_features=64),
        "Mixed_6b": FIDInceptionC(768, channels_7x7=128),
        "Mixed_6c": FIDInceptionC(768, channels_7x7=160),
        "Mixed_6d": FIDInceptionC(768, channels_7x7=160),
        "Mixed_6e": FIDInceptionC(768, channels_7x7=192),
        "Mixed_7b": FIDInceptionE_1(1280),
        "Mixed_7c": FIDInceptionE_2(2048),
    }
    for name, block in blocks.items():
        setattr(network, name, block)
    return network


class _Classifier(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.features(x)
        return features, self.model.linear(features)


class _Inception(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.head = network.fc
        network.fc = nn.Identity()  # the network now ends with its pooled features
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(x.expand(-1, 3, -1, -1), size=(299, 299), mode="bilinear", align_corners=False)
        features = self.network(2 * x - 1)
        return features, F.linear(features, self.head.weight)
