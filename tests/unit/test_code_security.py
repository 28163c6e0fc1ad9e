"""What may not be in the code, over its syntax tree and not its text, and in the commands of the rules."""

import ast
import re
import string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
    "src/robustlens/parameters.py": {"eval"},  # annotations of our own files
    "src/robustlens/data/download.py": {
        *("requests", "requests.Session", "requests.Response", "requests.RequestException"),
        *("requests.ConnectionError", "requests.Timeout", "urllib3.Retry", "urllib3.exceptions.HTTPError"),
        "urllib.request.url2pathname",
    },
    # Answers this machine, and asks nobody.
    "src/robustlens/watch/page.py": {"http.server.BaseHTTPRequestHandler", "http.server.ThreadingHTTPServer"},
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
    for file in [*(ROOT / "rules").glob("*.smk"), *(ROOT / "studies").glob("*/rules.smk")]:
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            name, blocks = rule.partition(":")[0], re.findall(r"^    shell:\n((?: {8}.*\n|\n)+)", rule, re.MULTILINE)
            if file.name != "former.smk" and name != "targets":  # which only end with words
                (block,) = blocks
                found[name] = ast.literal_eval(f"({block})")
    return found


def fields(command: str) -> list[tuple[str, str]]:
    """(name, what follows its colon) of every field of a command, as Python's own formatter takes it apart."""
    return [(name, how) for _, name, how, _ in string.Formatter().parse(command) if name is not None]


def test_every_value_in_a_command_is_quoted_or_a_number():
    assert len(commands()) >= 18
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
        assert re.sub(r'"\$ROBUSTLENS/(studies/[a-z_]+/)?scripts/[a-z_]+\.py"', "", literal).count("$") == 0, rule
        assert "`" not in literal, rule
