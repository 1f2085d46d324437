"""Builds MERLIN from its released files: `python dataset_scripts/merlin/build.py --raw RAW --out merlin`.

The same as `hf-mel data build merlin`, with the same options; `--help` lists them.
"""

import sys

from hf_mel.cli.main import main


if __name__ == "__main__":
    sys.exit(main(["data", "build", "merlin", *sys.argv[1:]]))
