"""Draw images of every class from one trained classifier."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.console import Progress, job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generation.sampler import Sampler
from robustlens.generation.samples import generate, save_samples
from robustlens.models.bfloat16 import Bfloat16Model
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.provenance import Certificate
from robustlens.seeds import derive

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="safetensors file of the classifier")
arguments.add_argument("--samples", required=True, type=Path, help=".npz file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"generate {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, ["train"], spec.get("crop"))
    model = InferenceModel(load_model(args.weights, spec["architecture"], data.channels, data.classes)).to(device)
    if spec.get("precision") == "bfloat16":
        model = Bfloat16Model(model, "generation.precision", "float32")
    batches = -(-spec["per_class"] * data.classes // spec["batch_size"])
    progress = Progress("step", batches * spec["sampler"]["steps"])
    train = data.splits["train"]
    samples = generate(
        model,
        train.pixels(),
        train.labels,
        Sampler(**spec["sampler"]),
        spec["per_class"],
        derive(spec["seed"], "generate"),
        spec["batch_size"],
        lambda done, _total: progress(done),
    )
    save_samples(args.samples, samples)
    certificate.write(args.certificate, [args.samples])
