"""`hf-mel recipes`, `hf-mel recipes show NAME`"""

import argparse
from pathlib import Path

import yaml

from ..recipe_files import find_recipe, read_recipe_files, recipe_names, summarize, title_of


def run(argv: list[str]) -> None:
    """Lists the recipes of the package, prints one, or writes it into a file."""
    about = (
        "List the recipes of the package, or show one as a single file, with all that it extends. "
        "`hf-mel train NAME` runs it, `hf-mel train FILE` runs a changed copy."
    )
    parser = argparse.ArgumentParser(prog="hf-mel recipes", description=about, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", title="commands")
    show = commands.add_parser("show", help="print a recipe", allow_abbrev=False)
    show.add_argument("name", help="A name that `hf-mel recipes` lists, or a YAML file.")
    show.add_argument(
        "--copy", nargs="?", const="", metavar="FILE", help="Write it into FILE instead; by default NAME.yaml, here."
    )
    options = parser.parse_args(argv)
    if options.command is None:
        print(recipe_list())
    elif options.copy is None:
        print(recipe_text(options.name), end="")
    else:
        print(f"written to {_copy(options.name, options.copy)}")


def recipe_list() -> str:
    """All recipes of the package, a line each."""
    rows = [vars(each) for each in recipe_summaries()]
    heading = {"name": "NAME", "model": "MODEL", "data": "DATA", "towers": "TOWERS", "needs": "NEEDS"}
    widths = {column: max(len(row[column]) for row in [heading, *rows]) for column in heading}
    lines = ["  ".join(row[column].ljust(widths[column]) for column in heading).rstrip() for row in [heading, *rows]]
    notes = [
        "",
        "NEEDS: names in capitals are environment variables with the folder of released data (or --data.raw_dir FOLDER).",
        "Run one:   hf-mel train NAME [--KEY VALUE ...]",
        "Read one:  hf-mel recipes show NAME [--copy]",
    ]
    return "\n".join([*lines, *notes])


def recipe_summaries():
    """The summaries of all recipes of the package."""
    paths = [find_recipe(name) for name in recipe_names()]
    return [summarize(path, read_recipe_files(path).content) for path in paths]


def recipe_text(source: str) -> str:
    """A recipe as a single file: the comment at its top, and the keys of all that it extends."""
    path = find_recipe(source)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in title_of(path))
    return comment + yaml.safe_dump(read_recipe_files(path).content, sort_keys=False, allow_unicode=True)


def _copy(source: str, file: str) -> Path:
    target = Path(file or f"{find_recipe(source).stem}.yaml")
    text = recipe_text(source)
    try:
        with target.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
    except FileExistsError:
        raise FileExistsError(f"--copy: there is already a file {target}; give another name") from None
    return target
