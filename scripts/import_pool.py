"""Images of every class from a published sample set, as a pool of a dataset."""

import importlib
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import Progress, job, parser
from robustlens.data.pool import FILES
from robustlens.data.prepared import load
from robustlens.data.verification import verify
from robustlens.generators.published.importing import classes_of, import_set
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--data", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--downloads", required=True, type=Path, help="folder of the published files")
arguments.add_argument("--folder", required=True, type=Path, help="folder of the pool")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec

with job(f"pool {spec['dataset']}/{spec['generator']}", args.log):
    archives = [args.downloads / archive["file"] for archive in spec["archives"]]
    for path, archive in zip(archives, spec["archives"], strict=True):
        verify(path, archive)
    certificate = Certificate(spec, [*archives, args.data / "sheet.json"])
    sheet = load(args.data, []).sheet
    shape, (names, kept) = tuple(sheet["shape"]), classes_of(sheet)
    layout = importlib.import_module(f"robustlens.generators.published.{spec['sample_set']['layout']}")
    published = layout.opened(spec["sample_set"], args.downloads, shape, names)
    progress = Progress("image", 0)

    def report(done: int, total: int) -> None:
        progress.total = total
        progress(done)

    import_set(published, args.folder, shape, kept, spec["per_class"], spec["seed"], report)
    certificate.write(args.certificate, [args.folder / name for name in FILES])
