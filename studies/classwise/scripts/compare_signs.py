"""The share of pixels where PGD in the network's precision steps another way than Temperature-PGD."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.attacks.threat import Threat
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.parameters import fraction
from robustlens.provenance import Certificate
from studies.classwise.signs import other_signs

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="best.safetensors of the run")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"signs {spec['dataset']}/{spec['recipe']}/seed{spec['seed']} {spec['threat']['name']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights])
    data = load(args.data, ["test"], spec.get("crop"))
    model = InferenceModel(load_model(args.weights, spec["architecture"], data.channels, data.classes)).to(device)
    threat = Threat(spec["threat"]["norm"], *(fraction(spec["threat"][k]) for k in ("epsilon", "step_size")))
    table = other_signs(model, data.splits["test"], spec["attacks"], threat, spec["seed"], spec["batch_size"], device)
    with replacing(args.table) as path:
        table.to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table])
