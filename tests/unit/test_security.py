"""What may not be in the code (over its syntax tree, not its text), which names a configuration may give, and that its
texts stay texts in documents. Pickles: test_readers.py, test_weights.py; archives: test_readers.py; TLS, checksums:
test_download.py; the same through the whole workflow: tests/workflow/test_workflow_security.py."""

import ast
import copy
import hashlib
import os
import re
import shutil
import string
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
import yaml
from matplotlib.figure import Figure
from serving import Page, certificate, serving

from robustlens.configuration import load, merge
from robustlens.data import download
from robustlens.errors import RobustlensError
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.document import Document
from robustlens.report.escape import latex
from robustlens.report.figure import Drawing, save
from robustlens.report.latex import render_tex
from robustlens.report.table import Table
from robustlens.report.webpage import render_html

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schemas" / "config.schema.yaml"
DEFINITIONS = yaml.safe_load(SCHEMA.read_text())["$defs"]
FUNCTIONS = [ROOT / "rules" / f"{name}.smk" for name in ("common", "files", "specs")]
CODE = [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), *FUNCTIONS]

# The code -----------------------------------------------------------------------------------------------------------

UNPICKLING = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.save")
UNPICKLING += ("torch.jit", "torch.package", "torch.hub", "pandas.read_pickle", "pandas.read_hdf")
SHELLS = ("os.system", "os.popen", "os.spawn", "pty", "subprocess.getoutput", "subprocess.getstatusoutput", "eval")
SHELLS += ("exec", "builtins", "snakemake.shell")
NETWORK = ("requests", "urllib3", "urllib.request", "http", "ftplib", "socketserver", "aiohttp", "httpx")
NETWORK += ("socket.socket", "socket.create_connection", "socket.create_server", "socket.getaddrinfo")
UNVERIFIED = ("ssl", "urllib3.disable_warnings", "urllib3.util.ssl_", "requests.packages")
YAML = ("yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "yaml.CLoader")
FORBIDDEN = (*UNPICKLING, *SHELLS, *NETWORK, *UNVERIFIED, *YAML)
# By file: the forbidden names that it has all the same, each of them for one thing.
ALLOWED = {
    "src/robustlens/data/restricted_pickle.py": {"pickle", "pickle.Unpickler"},  # admits what arrays need, runs nothing
    "src/robustlens/models/weights.py": {"pickle.UnpicklingError"},  # an exception to catch
    "src/robustlens/parameters.py": {"eval"},  # annotations of our own files
    "src/robustlens/data/download.py": {
        *("requests", "requests.Session", "requests.Response", "requests.RequestException"),
        *("requests.ConnectionError", "requests.Timeout", "urllib3.Retry", "urllib3.exceptions.HTTPError"),
        "urllib.request.url2pathname",
    },
}
METHODS = {"to_pickle", "to_hdf", "dump_pickle", "mount"}  # of objects; `mount` puts another adapter under a session
SWITCHES = {"verify", "check_hostname", "verify_mode", "cert_reqs"}


def problems(text: str, allowed: set[str] = frozenset()) -> set[str]:
    """What may not be in the Python `text`, by full names: `from torch import save as s; s(x)` has `torch.save`."""
    tree = ast.parse(text)
    names, found = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0]: alias.asname and alias.name for alias in node.names}
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}

    def full(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full(node.value)}.{node.attr}"
        return (names.get(node.id) or node.id) if isinstance(node, ast.Name) else ""

    switches = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            found.add(full(node))
            if isinstance(node, ast.Attribute):
                if node.attr in METHODS:
                    switches.add(f".{node.attr}")
                if node.attr in SWITCHES and isinstance(node.ctx, ast.Store):
                    switches.add(f".{node.attr} =")
        elif isinstance(node, ast.Call):
            switches |= call_problems(full(node.func), {keyword.arg: keyword.value for keyword in node.keywords})
    forbidden = {name for name in found if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)}
    return (forbidden - allowed) | switches


def call_problems(function: str, keywords: dict[str, ast.expr]) -> set[str]:
    """What is wrong with the keywords of a call."""

    def is_constant(keyword: str, value: object) -> bool:
        return isinstance(keywords[keyword], ast.Constant) and keywords[keyword].value is value

    found = set()
    if function == "torch.load" and not ("weights_only" in keywords and is_constant("weights_only", True)):
        found.add("torch.load without weights_only")
    if "allow_pickle" in keywords and not is_constant("allow_pickle", False):
        found.add("allow_pickle")
    if function.startswith("numpy.save") and "allow_pickle" not in keywords:
        found.add(f"{function} with allow_pickle's default")  # True
    if "shell" in keywords and not is_constant("shell", False):
        found.add("shell")
    if keywords.keys() & (SWITCHES - {"verify"}):
        found.add("TLS switch")
    if "verify" in keywords and function not in ("load", "robustlens.data.prepared.load"):
        found.add("verify")
    if function == "yaml.load" and "SafeLoader" not in ast.unparse(keywords.get("Loader", ast.Constant(""))):
        found.add("yaml.load")
    return found


@pytest.mark.parametrize("file", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_neither_unpickles_nor_starts_shells_nor_reaches_for_the_network(file):
    assert problems(file.read_text(), ALLOWED.get(str(file.relative_to(ROOT)), frozenset())) == set()


BAD = {
    "import pickle": "pickle",
    "import torch as t\nt.save(x, f)": "torch.save",
    "from torch import save as s": "torch.save",
    "def f():\n    import joblib.hashing": "joblib.hashing",
    "import torch\ntorch.load(f, map_location='cpu')": "torch.load without weights_only",
    "import torch\ntorch.load(f, weights_only=flag)": "torch.load without weights_only",
    "from torch import load\nload(f)": "torch.load without weights_only",
    "import numpy as np\nnp.load(f, allow_pickle=True)": "allow_pickle",
    "import numpy as np\nnp.savez(f, x=x)": "numpy.savez with allow_pickle's default",
    "frame.to_pickle(f)": ".to_pickle",
    "import pandas as pd\nmap(pd.read_pickle, files)": "pandas.read_pickle",
    "import os\nos.system(text)": "os.system",
    "import subprocess as sp\nsp.run(text, shell=True)": "shell",
    "eval(text)": "eval",
    "import requests\nrequests.get(url)": "requests.get",
    "session.get(url, verify=False)": "verify",
    "session.verify = False": ".verify =",
    "import ssl\nssl._create_unverified_context()": "ssl._create_unverified_context",
    "context.check_hostname = False": ".check_hostname =",
    "import socket\nsocket.create_connection(address)": "socket.create_connection",
    "from urllib.request import urlopen": "urllib.request.urlopen",
    "import yaml\nyaml.load(text, Loader=yaml.Loader)": "yaml.load",
    "import yaml\nyaml.load(text)": "yaml.load",
}


@pytest.mark.parametrize("text", BAD)
def test_what_may_not_be_in_the_code_is_found(text):
    assert BAD[text] in problems(text)


GOOD = """
import numpy as np, torch, yaml
from robustlens.data import restricted_pickle
restricted_pickle.load(stream, "batch")
np.load(f, mmap_mode="r"), np.savez(f, allow_pickle=False, x=x), torch.load(f, weights_only=True)
yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), yaml.safe_load(text)
model.eval(), re.compile(pattern), subprocess.run([command])
"""


def test_what_may_be_in_the_code_is_not_found():
    assert problems(GOOD) == set()


# The commands of the rules ------------------------------------------------------------------------------------------

# Numbers that Snakemake makes: all other fields must be quoted.
NUMBERS = {"threads", "resources.processes"}


def commands() -> dict[str, str]:
    """The shell command of every rule, by its name."""
    found = {}
    for file in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            (block,) = re.findall(r"^    shell:\n((?: {8}.*\n|\n)+)", rule, re.MULTILINE)
            found[rule.partition(":")[0]] = ast.literal_eval(f"({block})")
    return found


def fields(command: str) -> list[tuple[str, str]]:
    """(name, what follows its colon) of every field of a command, as Python's own formatter takes it apart."""
    return [(name, how) for _, name, how, _ in string.Formatter().parse(command) if name is not None]


def test_every_value_in_a_command_is_quoted_or_a_number():
    assert len(commands()) > 30
    for rule, command in commands().items():
        assert fields(command), rule
        for name, how in fields(command):
            assert how == "q" or name in NUMBERS, f"rule {rule}: {{{name}{how and ':' + how}}} is not quoted"


def test_no_quoted_value_stands_between_quotes_and_nothing_else_is_expanded():
    """With each field as a quote would print it: a shell sees one word where the field is, and expands no more than
    the folder of the checkout."""
    hostile = "'$(touch pwned) \"a b\"'"
    for rule, command in commands().items():
        around = re.sub(r"\{[^{}]+\}", hostile, command.replace("{{", "(").replace("}}", ")"))
        assert around.count(hostile) == len(fields(command))
        outside = around.replace(hostile, "")
        assert outside.count("'") % 2 == outside.count('"') % 2 == 0, rule
        for before in around.split(hostile)[:-1]:
            before = before.replace(hostile, "")
            assert before.count("'") % 2 == before.count('"') % 2 == 0, f"rule {rule}: a field between quotes"
        literal = re.sub(r"'[^']*'", "", outside)  # a shell expands nothing between single quotes
        assert re.sub(r'"\$ROBUSTLENS/scripts/[a-z_]+\.py"', "", literal).count("$") == 0, rule
        assert "`" not in literal, rule


# Names of the configuration -----------------------------------------------------------------------------------------

HOSTILE = {
    "a command": "$(touch pwned)",
    "a command in backticks": "`touch pwned`",
    "two commands": "a;b",
    "a pipe": "a|b",
    "a folder above": "../x",
    "dots": "..",
    "a path": "a/b",
    "an absolute path": "/etc/passwd",
    "a space": "a b",
    "a quote": "it's",
    "double quotes": 'a"b',
    "a newline": "sat\nmart",
    "a newline at its end": "sat\n",
    "nothing": "",
    "a leading dash": "-rf",
    "a wildcard": "{recipe}",
    "a pattern": "*",
    "a home": "~root",
    "an escape sequence": "\x1b[31msat",
    "capitals": "SAT",
    "an accent": "é",
    "digits of another script": "\u0661",
    "a letter like s": "\u017fat",
    "no width": "sat\u200b",
}


@pytest.fixture(scope="module")
def tiny() -> dict:
    """The tiny scale as Snakemake hands it over."""
    return merge(*(yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "tests/tiny.yaml")))


def add(raw: dict, what: str, name: str) -> str:
    """An entry of that name, with good contents. Where the configuration has it."""
    scale = raw["scales"]["tiny"]
    model = {"dataset": "digits", "architecture": {"family": "resnet"}, "weights": {"file": "w.pt"}}
    if what == "scale":
        raw["scales"][name], raw["scale"] = scale, name
        return "config"
    contents = {"recipes": {"method": "sat"}, "attacks": {"family": "clean"}, "models": model}
    contents |= {key: next(iter(scale[key].values())) for key in ("datasets", "suites", "studies")}
    scale.setdefault(what, {})[name] = copy.deepcopy(contents[what])
    return f"config.{what}: "


@pytest.mark.parametrize("what", ["scale", "recipes", "attacks", "datasets", "models", "suites", "studies"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_be_a_path_or_a_command_is_refused_in_one_line(name, what, tiny):
    raw = copy.deepcopy(tiny)
    where = add(raw, what, HOSTILE[name])
    with pytest.raises(RobustlensError) as error:
        load(raw, SCHEMA)
    message = str(error.value)
    assert message.startswith(where) and repr(HOSTILE[name]) in message and message.isprintable(), message


@pytest.mark.parametrize("what", ["recipes", "attacks", "datasets", "models", "suites"])
def test_a_good_name_is_admitted(what, tiny):
    raw = copy.deepcopy(tiny)
    add(raw, what, "8-bit-x")
    assert "8-bit-x" in load(raw, SCHEMA)[what]


def definition(*path: str) -> dict:
    """What the schema has at a place of its definitions."""
    node = DEFINITIONS
    for key in path:
        node = node[key]
    return node


def admitted(kind: dict, value: str) -> bool:
    return jsonschema.Draft202012Validator(kind).is_valid(value)


def test_names_are_of_lower_case_letters_digits_and_hyphens_wherever_a_character_stands():
    kind = definition("name")
    letters = set("abcdefghijklmnopqrstuvwxyz0123456789")
    for number in range(0x300):
        character = chr(number)
        assert admitted(kind, f"{character}a") == (character in letters), repr(character)
        assert admitted(kind, f"a{character}a") == (character in letters | {"-"}), repr(character)
        assert admitted(kind, f"a{character}") == (character in letters | {"-"}), repr(character)


@pytest.mark.parametrize(
    "file", ["../x", "..", ".", ".hidden", "-x", "a/b", "/etc/passwd", "a b", "$(x)", "a\n", "", "{x}", "ä.pt", "~"]
)
def test_a_file_of_weights_stays_in_its_folder(file):
    kind = definition("model", "properties", "weights", "properties", "file")
    assert not admitted(kind, file)
    assert admitted(kind, "Wang2023Better_WRN-70-16.v1.pt")


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_title_is_one_line_without_control_characters(kind):
    assert definition(kind, "properties", "title")["$ref"] == "#/$defs/title"
    title = definition("title")
    for number in [*range(0x20), *range(0x7F, 0xA0)]:
        for text in (f"a{chr(number)}b", f"a{chr(number)}"):
            assert not admitted(title, text), repr(text)
    assert not admitted(title, "")
    assert admitted(title, "Better DM (Wang2023), ε = 8/255: $x_1$ & <b>")


# Texts in documents -------------------------------------------------------------------------------------------------

TEXT = (
    r"\write18{touch pwned} \input{/etc/passwd} \immediate\openout1=pwned ^^5cinput $(touch pwned)$ `touch pwned` "
    "%comment #1 &x {unclosed ~ _ | \" ' ?` !` -- --- << >> ,, '' </textarea><script>alert(1)</script>"
    "<img src=x onerror=alert(1)> {{7*7}} <<7*7>> {% x %} <% x %>"
)
# Every command of LaTeX that plain text may become.
PRINTING = {rf"\{character}" for character in "{}&%$#_"} | {
    *(r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater", r"\textbar"),
    *(r"\textquotedbl", r"\textquotesingle", r"\textasciigrave", r"\textendash", r"\pm", r"\times", r"\leq", r"\geq"),
    *(r"\approx", r"\infty", r"\Delta", r"\varepsilon", r"\beta", r"\cdot"),
}


def control_sequences(tex: str) -> set[str]:
    return set(re.findall(r"\\(?:[A-Za-z]+|.)", tex, re.DOTALL))


def unescaped(tex: str) -> str:
    """What LaTeX takes for more than a letter, outside formulas."""
    plain = re.sub(r"\\(?:[A-Za-z]+\{\}|.)", "", re.sub(r"(?<!\\)\$[^$]*(?<!\\)\$", "", tex))
    return re.sub(r"[^\\{}$&#^_~%]", "", plain.replace("{}", ""))


def test_no_character_becomes_a_command_of_latex():
    for number in [*range(0x20, 0x7F), *range(0xA0, 0x180)]:
        tex = latex(chr(number))
        assert control_sequences(tex) <= PRINTING and unescaped(tex) == "", tex
    tex = latex(TEXT)
    assert control_sequences(tex) <= PRINTING and unescaped(tex) == ""
    assert control_sequences(r"\input{x}") - PRINTING and unescaped(r"\_ 5 % $x$ {") == "%{"


@pytest.fixture
def document(tmp_path) -> Document:
    """A report in which every text of others is hostile."""
    table = Table(
        "table",
        TEXT,
        TEXT,
        (Column(TEXT, TEXT), Column(TEXT, TEXT)),
        (Row(TEXT, (Cell(text=TEXT), Cell(1.0, unit=TEXT, text=TEXT)), TEXT),),
        (TEXT,),
    )
    claims = Table("claims", TEXT, TEXT, (Column("verdict", wide=1.0),), (Row(TEXT, (Cell(text=TEXT),)),))
    for each in (table, claims):
        each.write(**{kind: tmp_path / f"{each.name}.{kind}" for kind in ("tex", "csv", "html")})
    save(Drawing(Figure((1, 1)), TEXT, TEXT), tmp_path / "figure.pdf", tmp_path / "figure.png")
    sheet = {"title": TEXT, "citation": TEXT, "classes": ["0"], "shape": [1, 8, 8]}
    return Document(
        title=TEXT,
        scale="tiny",
        datasets=[sheet | {"sizes": {"train": 1, "validation": 1, "test": 1}}],
        tables=[tmp_path / "table.tex"],
        figures=[tmp_path / "figure.png"],
        claims=tmp_path / "claims.tex",
        provenance={TEXT: TEXT},
    )


class Elements(HTMLParser):
    """The elements of a page, the names of their attributes, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.attributes, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


def test_no_text_becomes_an_element_of_the_page(document):
    page = Elements(render_html(document))
    assert "script" not in page.elements and "textarea" not in page.elements
    assert {name for name in page.attributes if name.startswith("on")} == set()
    assert page.text.count(TEXT) >= 15 and "49" not in page.text.replace(TEXT, "")
    assert Elements("<p onclick=x><script>").elements == {"p", "script"}


@pytest.mark.skipif(
    not all(map(shutil.which, ("pdflatex", "pdftotext"))), reason="pdflatex or poppler-utils are not installed"
)
def test_latex_prints_every_text_and_runs_none_even_where_it_may_write(document, tmp_path):
    """pdfLaTeX with -shell-escape, which compile_pdf never gives it: a command that got through would run."""
    (tmp_path / "report.tex").write_text(render_tex(document, tmp_path))
    command = ["pdflatex", "-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert not list(tmp_path.rglob("pwned*"))
    text = subprocess.run(
        ["pdftotext", "report.pdf", "-"], cwd=tmp_path, capture_output=True, check=True, text=True
    ).stdout
    assert r"\write18{touch" in text and "<script>alert(1)</script>" in "".join(text.split())
    assert "root:" not in text


# TLS ----------------------------------------------------------------------------------------------------------------

BODY = b"an archive"
UNVERIFYING = [{name: value} for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") for value in ("", "0", "false")]
UNVERIFYING += [
    {"PYTHONHTTPSVERIFY": "0"},
    {"SSL_CERT_FILE": ""},
    {"SSL_VERIFY": "0"},
    {"PIP_TRUSTED_HOST": "127.0.0.1"},
]


@pytest.fixture
def direct(monkeypatch) -> pytest.MonkeyPatch:
    """No proxy between this process and this machine, and no waiting between attempts."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(download, "BACKOFF", 0.0)
    return monkeypatch


def refused(url: str, folder: Path) -> str:
    with pytest.raises(RobustlensError) as error:
        download.fetch({"file": "a.tgz", "sha256": hashlib.sha256(BODY).hexdigest(), "urls": [url]}, folder)
    assert not (folder / "a.tgz").exists()
    return str(error.value)


@pytest.mark.parametrize("variables", UNVERIFYING, ids=str)
def test_no_variable_of_the_environment_switches_verification_off(variables, tmp_path, direct):
    file = certificate(tmp_path, "IP:127.0.0.1")
    for name, value in variables.items():
        direct.setenv(name, value)
    with serving(file) as site:
        site.pages["/a"] = Page(BODY)
        message = refused(f"{site.url}/a", tmp_path / "downloads")
        assert "CERTIFICATE_VERIFY_FAILED" in message or "TLS CA certificate bundle" in message, message
        assert site.requests == []


def test_a_trusted_certificate_of_another_host_is_refused(tmp_path, direct):
    file = certificate(tmp_path, "DNS:mirror.invalid")
    direct.setenv("REQUESTS_CA_BUNDLE", str(file))
    with serving(file) as site:
        site.pages["/a"] = Page(BODY)
        message = refused(f"{site.url}/a", tmp_path / "downloads")
        assert "CERTIFICATE_VERIFY_FAILED" in message and "127.0.0.1" in message and site.requests == []
