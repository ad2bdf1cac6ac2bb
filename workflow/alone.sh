#!/usr/bin/env bash
# Runs a snakemake command line as the only one in this folder, and takes away what a killed one has left.
# The kernel's lock goes with its process, however that ends; Snakemake's own lies in a file and stays after a kill.
set -euo pipefail
mkdir -p .snakemake
exec 9>>.snakemake/alive
if ! flock --nonblock 9; then
	echo "lightvad: $PWD: another run is at work here (its log: .snakemake/log); wait until it has ended, or end it, then run again" >&2
	exit 1
fi
if [[ -n $(ls -A .snakemake/locks 2>/dev/null) ]]; then
	echo "lightvad: the last run here was killed; going on where it was" >&2
	rm -r .snakemake/locks # what `snakemake --unlock` does
fi
exec "$@"
