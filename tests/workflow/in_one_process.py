"""Runs command lines of lightvad one after another in this process: `python in_one_process.py < commands.json`.

A hundred and fifty small stages of a workflow take their time to start Python and to import torch. The commands are
those that Snakemake prints, in its order; what is saved is the starts.
"""

import json
import sys

from lightvad.cli import main

if __name__ == "__main__":
    for command in json.load(sys.stdin):
        sys.argv = ["lightvad", *command]
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                sys.exit(f"status {ended.code}: lightvad {' '.join(command)}")
