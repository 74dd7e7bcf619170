"""What the documentation says is so: links lead somewhere, commands compose; docstrings keep to the house's form."""

from __future__ import annotations

import ast
import pkgutil
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra

from sedsep.runs.command_line import resolvers
from sedsep.runs.command_line.arguments import parse
from sedsep.runs.command_line.starting import checked

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
DOCS = PROJECT / "docs"
GUIDES = [README, *sorted(DOCS.rglob("*.md")), *sorted(PROJECT.glob("experiments/**/*.md"))]
PAGES = [*GUIDES, PROJECT / "CONTRIBUTING.md", PROJECT / "CHANGELOG.md"]
SOURCES = sorted((PROJECT / "sedsep").rglob("*.py"))

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]+`")
SHELL = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROGRAM = re.compile(r"^python (run|experiments/\w+/study)\.py\b")
OF_STUDIES = ("systems=", "seed=", "weights=", "out=", "--collect")
"""Arguments that a study takes beside overrides."""


def relative(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@cache
def anchors(page: Path) -> frozenset[str]:
    """What the headings of a page are linked by, on GitHub and on the site alike."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text()))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        assert not page.is_relative_to(DOCS) or target.is_relative_to(DOCS), f"{link} leads out of the site"


def test_the_site_has_every_page() -> None:
    listed = set(re.findall(r"[\w/]+\.md", yaml.dump(yaml.safe_load((PROJECT / "mkdocs.yml").read_text())["nav"])))
    assert listed == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_the_reference_names_what_there_is() -> None:
    for page in sorted((DOCS / "api").glob("*.md")):
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
            pkgutil.resolve_name(name)


def test_the_readme_is_read_in_a_minute_and_begins_with_two_commands() -> None:
    text = README.read_text()
    assert len(text) <= 9000
    assert [block.strip() for block in SHELL.findall(text)[:2]] == [
        "pip install -e . && python run.py",
        "pip install -e '.[test]' && pytest",
    ]


def commands() -> Iterator[str]:
    """Each command of the guides that composes a config, once; what stands after `&&` in a line as well."""
    told: dict[str, None] = {}
    for page in GUIDES:
        text = page.read_text()
        lines = "\n".join(SHELL.findall(text)).replace("\\\n", " ").splitlines()
        lines += [code.strip("`") for code in CODE.findall(FENCE.sub("", text))]
        for line in lines:
            for command in line.split("&&"):
                if PROGRAM.match(command.strip()):
                    told[shlex.join(shlex.split(command, comments=True))] = None
    return iter(told)


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoader]:
    resolvers.register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command: str, loader: ConfigLoader) -> None:
    _, program, *arguments = shlex.split(command)
    assert (PROJECT / program).is_file()
    if program != "run.py":
        arguments = [argument for argument in arguments if not argument.startswith(OF_STUDIES)]
    line, unknown = parse(arguments)
    assert not unknown
    checked(line.overrides, loader, several=line.multirun)


NAME = r"\*{0,2}[a-z_0-9]+"
PACKED = re.compile(rf"^\s+{NAME}(, {NAME})*: .*[.;] {NAME}(, {NAME})*: |^\s+{NAME}(, {NAME})+: ")
"""Several arguments in one line."""


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node, clean=False) or ""


def test_docstrings_tell_one_argument_a_line() -> None:
    packed = [
        f"{relative(path)}: {line.strip()}"
        for path in SOURCES
        for docstring in docstrings(path)
        for section in re.split(r"^\s*(?:Args|Attributes|Raises):$", docstring, flags=re.MULTILINE)[1:]
        for line in section.splitlines()
        if PACKED.match(line)
    ]
    assert not packed


def test_sources_cite_what_everybody_can_read() -> None:
    assert not [relative(path) for path in SOURCES if re.search(r"(?<!\w)\(spec:", path.read_text())]
