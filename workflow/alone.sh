#!/usr/bin/env bash
# Runs a command that starts snakemake as the only one in this folder, and takes away what a killed one has left.
# The kernel's lock goes with its process, however that ends; Snakemake's own lies in a file and stays after a kill.
set -euo pipefail
mkdir -p .snakemake
exec 9>>.snakemake/alive
code=0
flock --nonblock --conflict-exit-code 75 9 || code=$?
if ((code == 75)); then
	echo "lightvad: $PWD: another run is at work here (its log: .snakemake/log); wait until it has ended, or end it, then run again" >&2
	exit 1
elif ((code)); then
	echo "lightvad: $PWD/.snakemake/alive: cannot be locked (flock ended with $code); work on a file system that has locks" >&2
	exit 1
fi
if [[ -n $(ls -A .snakemake/locks 2>/dev/null) ]]; then
	echo "lightvad: the last run here was killed; going on where it was" >&2
	rm -r .snakemake/locks # what `snakemake --unlock` does
fi
# Snakemake lists every file of the run in its notes, and where it cannot write them says so in many lines.
if ! head -c 1048576 /dev/zero 2>/dev/null >.snakemake/room; then
	rm -f .snakemake/room
	echo "lightvad: $PWD/.snakemake: cannot be written (no room for 1 MiB: a full disk, or a limit on the size of files); free disk space and run again" >&2
	exit 1
fi
rm .snakemake/room
exec "$@"
