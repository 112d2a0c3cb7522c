"""Writes the equations of a page (MathML) in one line: fractions with /, powers with ^, roots with √."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser, LexborNode

_DEEPEST = 50


def write_equations(tree: LexborHTMLParser) -> None:
    """Replace each equation of a page by its text."""
    for node in tree.css("math"):
        node.replace_with(f" {_linear(node, 0)} ")


def _linear(node: LexborNode, depth: int) -> str:
    if depth > _DEEPEST:
        return node.text() or ""
    if node.tag == "-text":
        return (node.text_content or "").strip()
    parts = [_linear(child, depth + 1) for child in node.iter(include_text=True)]
    children = [part for part in parts if part]
    match node.tag, children:
        case ("mfrac", [top, bottom]):
            return f"{_grouped(top)}/{_grouped(bottom)}"
        case (("msup" | "mover"), [base, high]):
            return f"{base}^{_grouped(high)}"
        case (("msub" | "munder"), [base, low]):
            return f"{base}_{_grouped(low)}"
        case (("msubsup" | "munderover"), [base, low, high]):
            return f"{base}_{_grouped(low)}^{_grouped(high)}"
        case ("msqrt", _):
            return f"√{_grouped(''.join(children))}"
        case ("mroot", [base, degree]):
            return f"{degree}√{_grouped(base)}"
        case ("mtr" | "mlabeledtr", _):
            return ", ".join(children)
        case ("mtable", _):
            return "; ".join(children)
        case ("mtext", _):
            return f" {''.join(children)} "
    return "".join(children)


def _grouped(text: str) -> str:
    return text if len(text) == 1 or text.isalnum() else f"({text})"
