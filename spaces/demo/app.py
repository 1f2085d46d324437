"""The Space: links the mention in a sentence and its picture to an entity, and shows why."""

import os


# Before gradio is imported: it asks nobody whether there is a newer version of it, and tells nobody that it runs.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from interface import build, launch_options
from linking import Demo


def main() -> None:
    """Loads or trains what links, and serves the page until it is stopped."""
    build(Demo.open(os.environ)).launch(**launch_options())


if __name__ == "__main__":
    main()
