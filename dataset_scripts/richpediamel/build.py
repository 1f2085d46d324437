"""Builds RichpediaMEL from its released files: `python dataset_scripts/richpediamel/build.py --raw RAW --out richpediamel`.

The same as `hf-mel data build richpediamel`, with the same options; `--help` lists them.
"""

import sys

from hf_mel.cli.main import main


if __name__ == "__main__":
    sys.exit(main(["data", "build", "richpediamel", *sys.argv[1:]]))
