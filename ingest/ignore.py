"""`.winnowignore`: what a tree leaves out, in gitignore's syntax, in any of its folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

NAME = ".winnowignore"


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules met so far on the way down a tree, each with the folder that it holds for."""

    specs: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    def entered(self, folder: Path) -> IgnoreRules:
        """The rules with those of `folder`; rules of folders that were left hold no longer."""
        kept = tuple((base, spec) for base, spec in self.specs if folder.is_relative_to(base))
        file = folder / NAME
        if not file.is_file():
            return IgnoreRules(kept)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        return IgnoreRules((*kept, (folder, GitIgnoreSpec.from_lines(lines))))

    def ignores(self, path: Path, *, is_folder: bool) -> bool:
        """Whether a path is left out; the innermost rule that says anything decides."""
        for base, spec in reversed(self.specs):
            relative = path.relative_to(base).as_posix() + ("/" if is_folder else "")
            verdict = spec.check_file(relative).include
            if verdict is not None:
                return verdict
        return False
