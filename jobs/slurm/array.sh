#!/usr/bin/env bash
# Share a sweep out among jobs of one node each, then publish. The first argument is their number, the rest overrides.
#   jobs/slurm/array.sh 8 sweep=all store.root=/shared/atlases/resnet50 ...
set -euo pipefail
shares=$1 job=$(dirname "$0")/node.sbatch
shift
first=$(sbatch --parsable --array="1-$shares" "$job" "$@")
# What needs the scan of all shares waited; now it is there.
second=$(sbatch --parsable --array="1-$shares" --dependency="afterany:$first" "$job" "$@")
sbatch --dependency="afterany:$second" "$job" "$@"
