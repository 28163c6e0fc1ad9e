"""Read a dataset from its verified archives, split it and write it as arrays with their sheet."""

import tempfile
from pathlib import Path

import robustlens.quick_start  # noqa: F401
from robustlens.console import Progress, job, parser
from robustlens.data.prepared import array_names
from robustlens.data.source import split_positions, with_classes, write_prepared
from robustlens.data.verification import verify
from robustlens.parameters import create
from robustlens.provenance import Certificate

arguments = parser(__doc__)
arguments.add_argument("--downloads", required=True, type=Path, help="folder of the downloaded archives")
arguments.add_argument("--folder", required=True, type=Path, help="folder of the prepared dataset")
arguments.add_argument("--certificate", required=True, type=Path)
args = arguments.parse_args()
spec = args.spec

with job(f"prepare {spec['facts']['name']}", args.log):
    archives = [args.downloads / archive["file"] for archive in spec["archives"]]
    for path, archive in zip(archives, spec["archives"], strict=True):
        verify(path, archive)
    certificate = Certificate(spec, archives)
    args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix=".reading-") as scratch:
        reader = dict(spec["reader"])
        source = create("data", reader.pop("family"), reader).read(args.downloads, Path(scratch))
        facts = spec["facts"]
        if "classes" in spec:
            source, of_source = with_classes(source, spec["classes"])
            facts = facts | of_source
        positions = split_positions(source, spec["splits"])
        progress = Progress("MB", 0)

        def report(done: int, total: int) -> None:
            progress.total = total // 2**20
            progress(done // 2**20)

        write_prepared(source, positions, args.folder, facts, report)
    certificate.write(args.certificate, [args.folder / name for name in [*array_names(), "sheet.json"]])
