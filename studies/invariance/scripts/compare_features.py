"""How far the features of attacked test images are from those of the images themselves, and what BatchNorm sees."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.attacks.threat import Threat
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.models.weights import load_model
from robustlens.parameters import fraction
from robustlens.provenance import Certificate
from studies.invariance.features import compared_features, load_natural

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="best.safetensors of the run")
arguments.add_argument("--checkpoints", required=True, type=Path, help="checkpoints.safetensors of the run")
arguments.add_argument("--table", required=True, type=Path, help="Parquet file to write, of images")
arguments.add_argument("--channels", required=True, type=Path, help="Parquet file to write, of channels")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"features {spec['dataset']}/{spec['recipe']}/seed{spec['seed']} {spec['threat']['name']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    certificate = Certificate(spec, [args.data / "sheet.json", args.weights, args.checkpoints])
    data = load(args.data, ["test"], spec.get("crop"))
    shape = spec["architecture"], data.channels, data.classes
    model, natural = load_model(args.weights, *shape).to(device), load_natural(args.checkpoints, *shape)
    natural = natural.to(device) if natural is not None else None
    threat = Threat(spec["threat"]["norm"], *(fraction(spec["threat"][k]) for k in ("epsilon", "step_size")))
    split, batch_size = data.splits["test"], spec["batch_size"]
    tables = compared_features(model, split, threat, spec["seed"], batch_size, device, natural)
    for table, file in zip(tables, (args.table, args.channels), strict=True):
        with replacing(file) as path:
            table.to_parquet(path, index=False)
    certificate.write(args.certificate, [args.table, args.channels])
