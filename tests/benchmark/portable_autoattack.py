"""AutoAttack on one thread, which is what a job with `arithmetic: portable` has: ours with it and with `native`, and
pyautoattack as published with `native`, in turns.

Times are those of the processor, which other processes disturb less.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import portable
import torch
from contest import OURS
from evaluation import AUTOATTACK, PUBLISHED, QUICK, SEED, SIZES, STEP_SIZE, Size, published, train, trained
from workers import Failed

from robustlens.arithmetic import NATIVE, PORTABLE
from robustlens.attacks.autoattack import AutoAttack
from robustlens.attacks.library import library_seed
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.device import use_device
from robustlens.evaluation.run import attack_split
from robustlens.models.inference import InferenceModel
from robustlens.seeds import generator

ROUNDS = 3
IMAGES = 12
PORTABLY = f"{OURS}, portable arithmetic"
CONTESTANTS = {PUBLISHED: NATIVE, OURS: NATIVE, PORTABLY: PORTABLE}
MOST_DIFFERENT = 1  # verdicts; portable arithmetic rounds differently


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """seconds: of each round, by contestant; robust: how many images are; different: how many have another verdict than
    pyautoattack's.

    Raises Skipped where the processor can't compute portably, Failed where verdicts differ.
    """
    portable.require_processor()
    size = _size(quick)
    train(folder, size, torch.device("cpu"))
    images = min(IMAGES, size.autoattack_images)
    found: dict = {"images": images, "width": size.width, "seconds": {name: [] for name in CONTESTANTS}}
    verdicts = {}
    for number in range(1 if quick else ROUNDS):
        say(f"AutoAttack on one thread, {images} images, round {number + 1}")
        for name, arithmetic in CONTESTANTS.items():
            answer = portable.in_process(arithmetic, __file__, name, str(folder), str(images), json.dumps(quick))
            found["seconds"][name].append(answer["seconds"])
            verdicts[name] = answer["robust"]
    found["robust"] = {name: sum(robust) for name, robust in verdicts.items()}
    found["different"] = {
        name: sum(one != other for one, other in zip(robust, verdicts[PUBLISHED], strict=True))
        for name, robust in verdicts.items()
    }
    for name, different in found["different"].items():
        if different > MOST_DIFFERENT:
            raise Failed(f"{name}: {different} of {images} images have another verdict than {PUBLISHED} finds")
    return found


def table(found: dict) -> str:
    seconds = found["seconds"]
    lines = [
        f"AutoAttack standard, ResNet-18 of width {found['width']}, one thread: {len(seconds[PUBLISHED])} rounds\n",
        f"| contestant | s of the processor | robust | other verdicts | times as fast as {PUBLISHED} |",
        "|---|---|---|---|---|",
    ]
    for name in CONTESTANTS:
        ratio = median(peer / own for peer, own in zip(seconds[PUBLISHED], seconds[name], strict=True))
        robust = f"{found['robust'][name]} of {found['images']}"
        lines.append(f"| {name} | {median(seconds[name]):.1f} | {robust} | {found['different'][name]} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def attacked(arithmetic: str, name: str, folder: Path, count: int, quick: bool) -> dict:
    """In this process: the seconds of a contestant, and which images are robust."""
    size = _size(quick)
    images, labels = (np.load(folder / f"{array}.npy")[:count] for array in ("images", "labels"))
    split = Split(images, labels, np.arange(count), levels=255)
    with use_device(1, arithmetic) as device:
        model = trained(size.width, folder, device)
        x, y = (torch.from_numpy(array) for array in (split.pixels(), labels))
        prepared, threat = InferenceModel(model), Threat("linf", size.epsilon, STEP_SIZE)
        seed = library_seed(generator(SEED, AUTOATTACK, 0))  # what `attack_split` gives to the library
        started = time.process_time()
        if name == PUBLISHED:
            robust, _ = published(model, x, y, size.epsilon, seed)
        else:
            found = attack_split(prepared, split, AutoAttack(), AUTOATTACK, threat, SEED, count)
            robust = (found["prediction_adversarial"] == found["label"]).to_numpy()
        return {"seconds": time.process_time() - started, "robust": robust.tolist()}


def _size(quick: bool) -> Size:
    return QUICK if quick else SIZES["cpu"]


if __name__ == "__main__":
    arithmetic, name, folder, count, quick = sys.argv[1:]
    print(json.dumps(attacked(arithmetic, name, Path(folder), int(count), json.loads(quick))))
