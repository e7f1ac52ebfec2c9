"""What the site adds to the pages of docs/ when it is built: pages of the top folder, the reference, links to files."""

import contextlib
import importlib
import io
import os
import posixpath
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Final

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from experiments.results.text import cell, markdown_table

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = "docs"

TOP: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the repository's top folder that are pages of the site, by the pages' names."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for name, page in TOP.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what a page asks for, and turn its links to files of the repository into links of the site."""
    filled = re.sub(r"<!-- (\w+): (\S+) -->", lambda found: REFERENCE[found[1]](found[2]), markdown)
    return _LINK.sub(lambda found: _link(found, page.file.src_uri, config, files), filled)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs' names
    """Show the formulas of docstrings as such, since browsers draw MathML, and keep intervals of tables on one line."""
    html = re.sub(r":math:<code>(.*?)</code>", lambda found: convert(unescape(found[1])), html, flags=re.DOTALL)
    return re.sub(r"(?<=\d )(\[-?[\d.]+, -?[\d.]+\]|\(L2 [\d.]+\))", r'<span class="interval">\1</span>', html)


_LINK: Final = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def _link(found: re.Match[str], page: str, config: MkDocsConfig, files: Files) -> str:
    """Return a link as the site has it; a folder is no page: its link becomes text."""
    text, target, heading = found[1], found[2], found[3] or ""
    origins = {uri: name for name, uri in TOP.items()}
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origins.get(page, f"{DOCS}/{page}")), target))
    if (ROOT / path).is_dir():
        return text
    uri = TOP.get(path) or (path.removeprefix(f"{DOCS}/") if path.startswith(f"{DOCS}/") else f"files/{path}")
    if uri.startswith("files/") and files.get_file_from_path(uri) is None:
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return f"[{text}]({posixpath.relpath(uri, posixpath.dirname(page) or '.')}{heading})"


def _commands(script: str) -> str:
    """Return every command of a script with its options, from its own help."""
    main: Callable[[list[str]], int] = importlib.import_module(script.removesuffix(".py")).main
    names = re.findall(r"^  ([\w-]+) +\S", _help(main).split("commands:")[1], re.MULTILINE)
    return "\n\n".join(_command(script, name, _help(main, name)) for name in names)


def _help(main: Callable[[list[str]], int], *command: str) -> str:
    """Return what `--help` prints, an option a line."""
    printed, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    try:
        with contextlib.redirect_stdout(printed):
            main([*command, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return printed.getvalue().replace("\b", "")  # jsonargparse writes `--print_config` with one


_OPTION: Final = re.compile(r"^  (\S.*?)(?:  +|\n +)(\S.*)$", re.MULTILINE)
_HELP: Final = "-h, --help"


def _command(script: str, name: str, text: str) -> str:
    """Return a command's section: what it does, and its options as a list of definitions."""
    about, *groups = re.split(r"^(?=\S.*:$)", text.partition("\n\n")[2], flags=re.MULTILINE)
    parts = [f"## {script} {name}", _escaped(about.strip())]
    for group in groups:
        title, _, options = group.partition("\n")
        defined = [f"`{option}`\n:   {_escaped(told)}" for option, told in _OPTION.findall(options) if option != _HELP]
        parts += [f"**{_escaped(title.removesuffix(':').capitalize())}**", *defined]
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Return text of a help as Markdown that shows it as it is, commands between backticks as code."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_<>\[\]{}|#])", r"\\\1", piece) for piece in pieces
    )


def _api(package: str) -> str:
    """Return a section for each public name of a package, which mkdocstrings fills from its docstring."""
    module = importlib.import_module(package)
    members = [getattr(module, name) for name in module.__all__]
    paths = [f"{member.__module__}.{member.__qualname__}" for member in members if hasattr(member, "__qualname__")]
    return "\n\n".join(f"::: {path}" for path in paths)


def _configs(folder: str) -> str:
    """Return a section for each folder of configuration files, with their contents."""
    paths = sorted((ROOT / folder).rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    return "\n\n".join(f"## {path.relative_to(ROOT)}\n\n```yaml\n{path.read_text()}```" for path in paths)


def _breaks(module: str) -> str:
    """Return the table of published breaks, from the one in the code."""
    breaks = importlib.import_module(module).BREAKS
    rows = [
        [f"`{each.detector.split('.')[-1]}`", f"{each.paper}, {each.where}", each.attack, each.data, cell(each.success)]
        for each in breaks
        if each.paper
    ]
    return markdown_table(["detector", "broken by", "attack", "data", "success"], rows)


REFERENCE: Final[dict[str, Callable[[str], str]]] = {
    "commands": _commands,
    "api": _api,
    "configs": _configs,
    "breaks": _breaks,
}
"""What a page may ask for by a line `<!-- commands: train.py -->`, by that word."""
