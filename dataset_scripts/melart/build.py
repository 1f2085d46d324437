"""Builds MELArt from its released files: `python dataset_scripts/melart/build.py --raw RAW --out melart`.

The same as `hf-mel data build melart`, with the same options; `--help` lists them.
"""

import sys

from hf_mel.cli.main import main


if __name__ == "__main__":
    sys.exit(main(["data", "build", "melart", *sys.argv[1:]]))
