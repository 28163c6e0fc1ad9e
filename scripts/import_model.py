"""Turn published weights into a checkpoint like those of our own runs."""

from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import job, parser
from robustlens.data.prepared import load
from robustlens.data.verification import verify
from robustlens.models.published import load_published
from robustlens.models.weights import save_weights
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--downloads", required=True, type=Path, help="folder of the downloaded weights")
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--weights", required=True, type=Path, help="safetensors file to write")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec

with job(f"import {spec['model']}", args.log):
    published = args.downloads / spec["weights"]["file"]
    verify(published, spec["weights"])
    certificate = Certificate(spec, [published, args.data / "sheet.json"])
    data = load(args.data, [])
    model = load_published(published, spec["architecture"], data.channels, data.classes, spec.get("part"))
    save_weights(model.state_dict(), args.weights)
    certificate.write(args.certificate, [args.weights])
