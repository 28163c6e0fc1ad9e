"""Draw images from one trained classifier with many settings of the sampler, and score them."""

from pathlib import Path

import numpy as np

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.console import Progress, job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generation.features import open_network
from robustlens.generation.grid import run_grid, samplers, scorer
from robustlens.generation.reference import load_reference
from robustlens.generation.sampler import Sampler
from robustlens.models.bfloat16 import Bfloat16Model
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.provenance import Certificate
from robustlens.seeds import derive

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="safetensors file of the classifier")
arguments.add_argument("--feature_weights", required=True, type=Path, help="weights of the feature network")
arguments.add_argument("--reference", required=True, type=Path, help="reference features of the dataset")
arguments.add_argument("--settings", required=True, type=Path, help="Parquet file to write: one row per setting")
arguments.add_argument("--chains", required=True, type=Path, help="Parquet file to write: energies on the way")
arguments.add_argument("--images", required=True, type=Path, help=".npz file to write: a few images of each setting")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"generation grid {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    inputs = [args.data / "sheet.json", args.weights, args.feature_weights, args.reference]
    certificate = Certificate(spec, inputs)
    data = load(args.data, ["train"], spec.get("crop"))
    model = InferenceModel(load_model(args.weights, spec["architecture"], data.channels, data.classes)).to(device)
    if spec.get("precision") == "bfloat16":
        model = Bfloat16Model(model, "generation.precision", "float32")
    network = open_network(spec["features"]["kind"], args.feature_weights, spec["feature_architecture"], data, device)
    reference, train = load_reference(args.reference), data.splits["train"]
    pixels = train.pixels()
    settings = samplers(Sampler(**spec["sampler"]), spec["grid"]["values"])
    progress = Progress("setting", len(settings))
    grid = run_grid(
        settings,
        model,
        pixels,
        train.labels,
        spec["grid"]["per_class"],
        derive(spec["seed"], "generate"),
        spec["batch_size"],
        scorer(reference, network, pixels, spec["batch_size"]),
        progress,
    )
    with replacing(args.settings) as path:
        grid.settings.to_parquet(path, index=False)
    with replacing(args.chains) as path:
        grid.chains.to_parquet(path, index=False)
    with replacing(args.images) as path, open(path, "wb") as file:
        np.savez(file, allow_pickle=False, images=grid.images)
    certificate.write(args.certificate, [args.settings, args.chains, args.images])
