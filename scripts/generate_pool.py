"""Images of every class from a fitted generator."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens import arithmetic
from robustlens.console import Progress, job, parser
from robustlens.data.pool import FILES
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.generators.fitted import made_from, read_fitted
from robustlens.generators.labelling import labeller
from robustlens.generators.pool import write_pool
from robustlens.parameters import create
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--fitted", required=True, type=Path, help="safetensors file of the fitted generator")
arguments.add_argument("--weights", type=Path, nargs="*", default=[], help="of the classifier that labels the images")
arguments.add_argument("--folder", required=True, type=Path, help="folder of the pool")
arguments.add_argument("--certificate", required=True, type=Path)
arguments.add_argument("--threads", type=int, default=1)
args = arguments.parse_args()
spec = args.spec

with (
    job(f"pool {spec['dataset']}/{spec['generator']['name']}", args.log),
    use_device(args.threads, arithmetic.of(spec)) as device,
):
    sheet = args.data / "sheet.json"
    certificate = Certificate(spec, [sheet, args.fitted, *args.weights])
    data = load(args.data, [])
    shape = tuple(data.sheet["shape"])
    generator = create("generators", spec["generator"]["family"], spec["generator"]["parameters"])
    fitted = read_fitted(args.fitted, generator, shape, device, made_from(spec, certificate.inputs[str(sheet)]))
    labelled = None
    if args.weights:
        labelled = labeller(args.weights[0], spec["labelled_by"], data.channels, data.classes, device)
    progress = Progress("image", spec["per_class"] * data.classes)
    write_pool(args.folder, fitted, shape, data.classes, spec["per_class"], spec["seed"], progress, labelled)
    certificate.write(args.certificate, [args.folder / name for name in FILES])
