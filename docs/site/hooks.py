"""Pages of the site that have no file in docs/: README and its neighbours, the API reference, the notebooks."""

from __future__ import annotations

import ast
import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE",
    "envs/jit/README.md": "compiled_loops.md",
}
"""Files of the repository root and where the site has them."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated and take out the notebooks' own files."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=relinked(text) if target.endswith(".md") else text))
    for page in re.findall(r"api/([\w.]+)\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")):
        files.append(File.generated(config, f"api/{page}.md", content=reference(page)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(file)
        notebook = json.loads(Path(str(file.abs_src_path)).read_text(encoding="utf-8"))
        target = file.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, target, content=notebook_page(notebook)))
    return files


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Links to notebooks lead to their pages."""
    return re.sub(r"(\]\((?!https?:)[^)#:]+)[.]ipynb", r"\1.md", markdown)


def relinked(text: str) -> str:
    """A page of the repository root with its links as the site needs them."""

    def target(found: re.Match[str]) -> str:
        path = found[1].removeprefix("docs/")
        return f"]({PAGES.get(path, path)}{found[2] or ''})"

    return re.sub(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)", target, text)


def reference(page: str) -> str:
    """The API reference of a folder: one entry for each of its public names."""
    module = "repricer" if page == "repricer" else f"repricer.{page}"
    path = ROOT.joinpath(*module.split(".")[1:], "__init__.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A folder without public names of its own shows those of its modules.
    names = public_names(tree) or sorted(file.stem for file in path.parent.glob("[!_]*.py"))
    names = sorted(names, key=str.isupper)  # constants last
    about = ast.get_docstring(tree) or ""
    if module == "repricer":
        rows = [f"- [`repricer.{name}`][repricer.{home}.{name}]" for name, home in sorted(homes(tree).items())]
        return f"# repricer\n\n{about}\n\n" + "\n".join(rows) + "\n"
    return f"# {module}\n\n{about}\n\n" + "\n".join(f"::: {module}.{name}\n" for name in names)


def public_names(tree: ast.Module) -> list[str]:
    """The names in a module's `__all__`."""
    return next((ast.literal_eval(node.value) for node in assignments(tree, "__all__")), [])


def homes(tree: ast.Module) -> dict[str, str]:
    """The room of each name of the root package."""
    return next((ast.literal_eval(node.value) for node in assignments(tree, "_HOMES")), {})


def assignments(tree: ast.Module, name: str) -> list[ast.Assign]:
    """Assignments to a name at a module's top level."""
    return [
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: text as it is, code with its language, outputs below it."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        language = "python"
        if source.startswith("%%sh"):
            language = "sh"
            source = source.partition("\n")[2]
        parts.append(f"```{language}\n{source}\n```")
        parts += [text for output in cell["outputs"] if (text := shown(output))]
    return "\n\n".join(parts) + "\n"


def shown(output: dict[str, Any]) -> str:
    """One output of a cell as Markdown; images are part of the page."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    data = output.get("data", {})
    if "image/svg+xml" in data:
        svg = base64.b64encode("".join(data["image/svg+xml"]).encode()).decode()
        return f'<img alt="Output of the cell above" src="data:image/svg+xml;base64,{svg}">'
    if "image/png" in data:
        return f'<img alt="Output of the cell above" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```" if "text/plain" in data else ""
