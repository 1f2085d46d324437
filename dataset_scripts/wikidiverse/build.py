"""Builds WikiDiverse from its released files: `python dataset_scripts/wikidiverse/build.py --raw RAW --out wikidiverse`.

The same as `hf-mel data build wikidiverse`, with the same options; `--help` lists them.
"""

import sys

from hf_mel.cli.main import main


if __name__ == "__main__":
    sys.exit(main(["data", "build", "wikidiverse", *sys.argv[1:]]))
