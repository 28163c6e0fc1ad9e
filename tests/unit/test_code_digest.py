"""The digest of a job's code changes with the code that the job uses, and with nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robustlens import code_digest as module
from robustlens.code_digest import closure, code_digest, remember

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent.parent
FILES = {
    "pack/__init__.py": "",
    "pack/top.py": '"""Top."""\nfrom pack.sub.leaf import value\nimport json\n\n\n'
    'def f(a, b=1):\n    """Add."""\n    return a + value + b\n',
    "pack/sub/__init__.py": "LIMIT = 3\n",
    "pack/sub/leaf.py": "from pack import other\nvalue = other.x\n",
    "pack/other.py": "x = 1\n",
    "pack/alone.py": "y = 1\n",
    "pack/plain.py": "import pack.sub.leaf as leaf\n",
    "pack/late.py": "def f():\n    import pack.alone\n    return pack.alone.y\n",
    "script.py": "from pack.top import f\nprint(f(1))\n",
}


def forget() -> None:
    """The digests are cached, as no file changes while a Snakefile is parsed."""
    for function in (module.code_digest, module._read, module._module_files):
        function.cache_clear()


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A package of its own in place of robustlens."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "PACKAGE", "pack")
    monkeypatch.setattr(module, "ROOTS", {"pack": tmp_path})
    forget()
    yield tmp_path
    forget()


def digest_after(source: Path, file: str, text: str, *entries: str | Path) -> tuple[str, str]:
    """The digest of the entries before and after `file` was changed to `text`."""
    before = code_digest(*entries)
    (source / file).write_text(text)
    forget()
    return before, code_digest(*entries)


@pytest.mark.parametrize("text", [
    FILES["pack/top.py"].replace("import json", "import json  # a comment\n\n# and another\n"),
    FILES["pack/top.py"].replace('"""Add."""', '"""Add, in\n    other words."""'),
    FILES["pack/top.py"].replace('    """Add."""\n', ""),
    FILES["pack/top.py"].replace('"""Top."""\n', ""),
    FILES["pack/top.py"].replace("(a, b=1)", "(\n    a,\n    b=1,\n)").replace("a + value", "(a +  value)"),
    FILES["pack/top.py"].replace("json", "json\n\n\n"),
])  # fmt: skip
def test_comments_docstrings_and_formatting_do_not_count(text, source):
    assert text != FILES["pack/top.py"]
    before, after = digest_after(source, "pack/top.py", text, "pack.top")
    assert before == after


@pytest.mark.parametrize(("file", "old", "new"), [
    ("pack/top.py", "+ b", "- b"),
    ("pack/top.py", "b=1", "b=2"),
    ("pack/top.py", "a + value + b", "a + b + value"),
    ("pack/top.py", "return a", '"not a docstring: the second string"\n    return a'),
    ("pack/top.py", "import json\n", ""),
    ("pack/sub/leaf.py", "other.x", "other.x + 1"),
    ("pack/sub/__init__.py", "3", "4"),  # runs when pack.sub.leaf is imported
    ("pack/other.py", "1", "2"),  # two imports away
    ("pack/__init__.py", "", "import json\n"),
])  # fmt: skip
def test_a_change_in_what_an_entry_imports_counts(file, old, new, source):
    changed = FILES[file].replace(old, new) if old else new
    assert changed != FILES[file]
    before, after = digest_after(source, file, changed, "pack.top")
    assert before != after


def test_a_change_in_what_an_entry_does_not_import_does_not_count(source):
    before, after = digest_after(source, "pack/alone.py", "y = 2\n", "pack.top")
    assert before == after
    before, after = digest_after(source, "pack/alone.py", "y = 3\n", "pack.top", "pack.alone")
    assert before != after


def test_closures(source):
    def names(*entries: str | Path) -> set[str]:
        return {str(path.relative_to(source)) for path in closure(*entries)}

    top = {"pack/__init__.py", "pack/top.py", "pack/sub/__init__.py", "pack/sub/leaf.py", "pack/other.py"}
    assert names("pack.top") == top
    assert names("pack.plain") == top - {"pack/top.py"} | {"pack/plain.py"}
    assert names("pack.alone") == {"pack/__init__.py", "pack/alone.py"}
    assert names("pack.late") == {"pack/__init__.py", "pack/late.py", "pack/alone.py"}
    assert names("pack.sub") == {"pack/__init__.py", "pack/sub/__init__.py"}
    assert names(source / "script.py") == top | {"script.py"}
    assert names("pack.top", "pack.alone") == top | {"pack/alone.py"}


def test_modules_that_import_each_other_are_no_trouble(source):
    (source / "pack/other.py").write_text("import pack.top\nx = 1\n")
    forget()
    assert source / "pack/top.py" in closure("pack.other")


def test_a_renamed_module_counts_and_the_order_of_entries_does_not(source):
    (source / "pack/twin.py").write_text(FILES["pack/alone.py"])
    assert code_digest("pack.alone") != code_digest("pack.twin")
    assert code_digest("pack.alone", "pack.top") == code_digest("pack.top", "pack.alone")


def test_where_the_repository_lies_does_not_count(source, tmp_path_factory, monkeypatch):
    here = code_digest(source / "script.py", "pack.alone")
    copy = shutil.copytree(source, tmp_path_factory.mktemp("elsewhere") / "copy")
    monkeypatch.setattr(module, "ROOTS", {"pack": copy})
    forget()
    assert code_digest(copy / "script.py", "pack.alone") == here


def test_an_entry_that_does_not_exist_is_refused(source):
    with pytest.raises(ModuleNotFoundError, match=r"no module pack\.missing"):
        code_digest("pack.missing")
    with pytest.raises(FileNotFoundError, match=r"missing\.py"):
        code_digest(source / "missing.py")


def test_a_relative_import_is_refused(source):
    (source / "pack/alone.py").write_text("from . import other\n")
    with pytest.raises(ImportError, match=r"alone.py: relative imports are not followed; write `from pack"):
        code_digest("pack.alone")


# What earlier processes found --------------------------------------------------------------------------------------


@pytest.fixture
def remembered(source, monkeypatch) -> Callable[[Path], dict[str, list]]:
    """What a file remembers when a process ends that used it and took the digest of the script."""

    def process(file: Path) -> dict[str, list]:
        forget()
        monkeypatch.setattr(module, "_known", {})
        monkeypatch.setattr(module.atexit, "register", lambda *ending: endings.append(ending))
        endings = []
        remember(file)
        process.digest = code_digest(source / "script.py")
        ((keep, *arguments),) = endings
        keep(*arguments)
        return json.loads(file.read_text())

    return process


def test_a_text_is_read_once_and_again_when_it_has_changed(source, remembered, tmp_path, monkeypatch):
    expected, file, read = code_digest(source / "script.py"), tmp_path / "new/known.json", []
    kept = remembered(file)
    assert len(kept) == len({FILES[str(path.relative_to(source))] for path in closure(source / "script.py")})
    original = module._parsed
    monkeypatch.setattr(module, "_parsed", lambda text, path: read.append(path.name) or original(text, path))
    assert remembered(file) == kept and read == [] and remembered.digest == expected

    (source / "pack/other.py").write_text("import pack.alone\nx = 2\n")
    again = remembered(file)
    assert read == ["other.py", "alone.py"] and kept.items() < again.items() and remembered.digest != expected
    changed = remembered.digest
    forget()
    monkeypatch.setattr(module, "_known", {})
    assert code_digest(source / "script.py") == changed


@pytest.mark.parametrize("damage", ["", "{", "[1]", "null", "5", '{"3.11.0": ["0", '])
def test_a_file_that_can_t_be_read_is_written_anew(damage, source, remembered, tmp_path):
    kept = remembered(tmp_path / "known.json")
    (tmp_path / "known.json").write_text(damage)
    assert remembered(tmp_path / "known.json") == kept


def test_what_another_python_or_other_code_of_this_module_found_is_not_taken(source, remembered, tmp_path, monkeypatch):
    kept = remembered(tmp_path / "known.json")
    monkeypatch.setattr(module.sys, "version_info", (3, 99, 0))
    assert len(remembered(tmp_path / "known.json")) == 2 * len(kept)
    monkeypatch.setattr(module, "_own_digest", lambda: "another")
    assert len(remembered(tmp_path / "known.json")) == 3 * len(kept)


def test_a_folder_that_can_t_be_written_is_no_trouble(source, remembered, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        remembered(tmp_path / "file/known.json")  # which can't be read either
    assert remembered.digest == code_digest(source / "script.py")


def test_files_of_years_are_forgotten(source, remembered, tmp_path, monkeypatch):
    kept = remembered(tmp_path / "known.json")
    monkeypatch.setattr(module, "MOST_TEXTS", len(kept))
    (source / "pack/other.py").write_text("x = 3\n")
    assert len(remembered(tmp_path / "known.json")) == len(kept)


# The package itself -----------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A copy of robustlens, of the studies and of the scripts that a test may edit."""
    for name in ("src/robustlens", "studies", "scripts"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    monkeypatch.setattr(module, "ROOTS", {"robustlens": tmp_path / "src", "studies": tmp_path})
    forget()
    yield tmp_path
    forget()


TRAININGS = {"train sat", "train trades", "train with an average"}


def digests(package: Path) -> dict[str, str]:
    """Of the jobs as the rules define them: the script, and the modules that it loads by name."""
    forget()
    scripts, base = package / "scripts", "robustlens."
    attacks = [base + "attacks." + name for name in ("pgd", "autoattack", "fab")]
    return {
        "prepare": code_digest(scripts / "prepare_data.py", base + "data.digits"),
        "train sat": code_digest(scripts / "train.py", base + "methods.sat", base + "models.resnet"),
        "train trades": code_digest(scripts / "train.py", base + "methods.trades", base + "models.resnet"),
        "evaluate": code_digest(scripts / "evaluate.py", base + "models.resnet", *attacks),
        "evaluate pgd": code_digest(scripts / "evaluate.py", base + "models.resnet", base + "attacks.pgd"),
        "train with an average": code_digest(scripts / "train.py", base + "methods.sat", base + "models.resnet",
                                             base + "training.averaging"),
        "table": code_digest(scripts / "make_table.py", "studies.energy.tables.phases"),
        "claims": code_digest(scripts / "judge_claims.py", "studies.energy.claims"),
    }  # fmt: skip


@pytest.mark.parametrize(("file", "changed"), [
    ("attacks/fab.py", {"evaluate"}),
    ("attacks/pgd.py", {*TRAININGS, "evaluate", "evaluate pgd"}),
    ("methods/trades.py", {"train trades"}),
    ("methods/weat.py", set()),
    ("training/loop.py", TRAININGS),
    ("training/averaging.py", {"train with an average"}),
    ("training/weight_perturbation.py", set()),
    ("training/leave_out.py", set()),
    ("models/resnet.py", {*TRAININGS, "evaluate", "evaluate pgd"}),
    ("evaluation/guards.py", {"evaluate", "evaluate pgd"}),
    ("data/digits.py", {"prepare"}),
    ("configuration/reading.py", set()),
    ("report/table.py", {"table", "claims"}),
    ("report/figure.py", {"claims"}),
    ("../../studies/energy/phases.py", {"table", "claims"}),
    ("../../studies/energy/claims/training.py", {"claims"}),
])  # fmt: skip
def test_editing_a_file_of_the_package_changes_the_jobs_that_use_it(file, changed, package):
    before = digests(package)
    path = package / "src" / "robustlens" / file
    path.write_text(path.read_text() + "\n# a comment\n")
    assert digests(package) == before
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    after = digests(package)
    assert {job for job in before if before[job] != after[job]} == changed


def test_every_module_of_the_package_can_be_followed():
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        assert path in closure(path)
