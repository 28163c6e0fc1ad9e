"""The energies of all training images under one run's best checkpoint."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.energy.measuring import measure
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="best.safetensors of the run")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"energies of training images {spec['dataset']}/{spec['recipe']}/seed{spec['seed']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, ["train"], spec.get("crop"))
    model = InferenceModel(load_model(args.weights, spec["architecture"], data.channels, data.classes)).to(device)
    table = measure(model, data.splits["train"], spec["batch_size"], device)
    with replacing(args.table) as path:
        table.to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table])
