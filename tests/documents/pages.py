"""The pages of the documents, with their blocks of code and their commands: a new page is found by itself."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import evaluate

ROOT = Path(evaluate.__file__).parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|(?<=\n\n)((?:    [^\n]*\n(?:\n(?=    ))?)+)", re.MULTILINE | re.DOTALL)
_LOOP = re.compile(r"^for (\w+) in (.*?); do\n(.*?)^done$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:[A-Z]+=\S+ )?(?:\.venv/bin/|make |curl |srun |python )")


@dataclass(frozen=True)
class Block:
    """Code of a page: its language as it is written there, `sh` for what is indented, and its text."""

    language: str
    text: str

    @property
    def module(self) -> str | None:
        """The file that its first line names, as `# my_nets.py: timm`."""
        found = re.match(r"# (\w+\.(?:py|yaml))\b", self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, of a loop's once for each value; lines of output are none."""
        text = _LOOP.sub(_unrolled, re.sub(r"\\\n\s*", "", self.text))
        lines = text.splitlines() if self.language == "sh" else []
        given = [line.strip() for line in lines if _COMMAND.match(line.strip())]
        return [words for line in given for words in _split(line)]


def _unrolled(loop: re.Match[str]) -> str:
    return "".join(loop[3].replace(f"${loop[1]}", value) for value in loop[2].split())


def _split(line: str) -> Iterator[list[str]]:
    """Words of the commands that a line joins by &&."""
    words = [*shlex.split(line, comments=True), "&&"]
    while words:
        end = words.index("&&")
        yield words[:end]
        words = words[end + 1 :]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found = _BLOCK.findall(page.read_text())
    return [
        Block(language or "sh", text or re.sub("^    ", "", indented, flags=re.MULTILINE))
        for language, text, indented in found
    ]


def short(page: Path) -> str:
    return str(page.relative_to(ROOT))


COMMANDS = {shlex.join(words): words for page in PAGES for block in blocks(page) for words in block.commands}
"""Every command of every page, by its text."""


def module_blocks() -> dict[str, str]:
    """The first block of each file that pages tell a reader to write, by the file's name."""
    named = [(block.module, block.text) for page in PAGES for block in blocks(page)]
    return {name: text for name, text in reversed(named) if name is not None}
