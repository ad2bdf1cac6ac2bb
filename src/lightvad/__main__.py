"""`python -m lightvad` is the command line."""

from lightvad.cli import main

main()
