#!/usr/bin/env bash
# Make an atlas on this machine: first try what the run needs, then run. Arguments are overrides.
#   jobs/local.sh model=torchvision model.name=resnet50 dataset=folder dataset.root=photos/ sweep=all
set -euo pipefail
atlas doctor "$@"
exec atlas run "$@"
