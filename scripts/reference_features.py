"""Compute the features of a dataset's reference images, with the network that generated images are scored with."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generation.features import open_network
from robustlens.generation.reference import save_reference, see_reference
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="weights of the feature network")
arguments.add_argument("--reference", required=True, type=Path, help=".npz file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with job(f"reference features {spec['dataset']}", args.log), use_device(args.threads, arithmetic.of(spec)) as device:
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, [spec["features"]["reference"]], spec.get("crop"))
    network = open_network(spec["features"]["kind"], args.weights, spec["architecture"], data, device)
    split = data.splits[spec["features"]["reference"]]
    reference = see_reference(split.pixels(), split.labels, network, spec["features"]["reference"], spec["batch_size"])
    save_reference(args.reference, reference)
    certificate.write(args.certificate, [args.reference])
