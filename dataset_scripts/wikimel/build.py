"""Builds WikiMEL from its released files: `python dataset_scripts/wikimel/build.py --raw RAW --out wikimel`.

The same as `hf-mel data build wikimel`, with the same options; `--help` lists them.
"""

import sys

from hf_mel.cli.main import main


if __name__ == "__main__":
    sys.exit(main(["data", "build", "wikimel", *sys.argv[1:]]))
