"""Score generated images, or as an anchor real images that are not in the reference, against the reference images."""

import json
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generation.features import open_network
from robustlens.generation.quality import score
from robustlens.generation.reference import load_reference
from robustlens.generation.samples import load_samples
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="weights of the feature network")
arguments.add_argument("--reference", required=True, type=Path, help="reference features of the dataset")
arguments.add_argument("--samples", type=Path, help=".npz file to score; without it a split of real images is")
arguments.add_argument("--scores", required=True, type=Path, help="JSON file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with job(f"score {args.samples or 'real images'}", args.log), use_device(args.threads, arithmetic.of(spec)) as device:
    inputs = [args.data / "sheet.json", args.weights, args.reference, *([args.samples] if args.samples else [])]
    certificate = Certificate(spec, inputs)
    anchor = "validation" if spec["features"]["reference"] == "test" else "test"
    data = load(args.data, ["train"] if args.samples else ["train", anchor], spec.get("crop"))
    network = open_network(spec["features"]["kind"], args.weights, spec["architecture"], data, device)
    if args.samples:
        samples = load_samples(args.samples)
        images, labels = samples.images, samples.labels
    else:
        images, labels = data.splits[anchor].pixels(), data.splits[anchor].labels
    scores = score(
        images,
        labels,
        load_reference(args.reference),
        network,
        data.splits["train"].pixels(),
        batch_size=spec["batch_size"],
    )
    scores["scored"] = "generated images" if args.samples else f"real {anchor} images"
    with replacing(args.scores) as path:
        path.write_text(json.dumps(scores, indent=2) + "\n")
    certificate.write(args.certificate, [args.scores])
