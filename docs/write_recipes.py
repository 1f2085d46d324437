"""
Writes the table of recipe keys into the package, and the lists of recipes and keys into docs/recipes.md.

    python docs/write_recipes.py        # or: make keys

Run it after a change of a recipe, or of a key, its default or its docstring. A test checks that nothing is out of date.
"""

from pathlib import Path

from hf_mel.cli.recipe_flags import metavar, shown_default, titled_groups
from hf_mel.cli.recipes import recipe_summaries
from hf_mel.evaluation import render_into
from hf_mel.recipe_files import KeyTable
from hf_mel.recipes import keys_from_code


PAGE = Path(__file__).with_name("recipes.md")


def recipe_table() -> str:
    """The recipes of the package as a Markdown table."""
    lines = ["| Recipe | Model | Data | Towers | Needs |", "|---|---|---|---|---|"]
    for each in recipe_summaries():
        lines.append(f"| `{each.name}` | {each.model} | {each.data} | {each.towers.replace('$', '')} | {each.needs} |")
    return "\n".join(lines)


def key_tables(table: KeyTable) -> str:
    """The keys of all groups, a Markdown table each."""
    lines = []
    for title, place, keys in titled_groups(table):
        if not keys:
            continue
        lines += [f"### {title}", "", "| Flag | Value | Default | Meaning |", "|---|---|---|---|"]
        for key in keys:
            flag = key.name if place == "training" else f"{place}.{key.name}"
            cells = (f"`--{flag}`", metavar(key), f"`{shown_default(key)}`", key.help)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def main() -> None:
    """Writes both files."""
    table = keys_from_code()
    table.save()
    render_into(PAGE, "recipe-list", recipe_table())
    render_into(PAGE, "recipe-keys", key_tables(table))


if __name__ == "__main__":
    main()
