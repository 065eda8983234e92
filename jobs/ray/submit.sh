#!/usr/bin/env bash
# Hand a run to a Ray cluster. A second job for the same results under the same root is refused. Arguments are overrides.
#   export RAY_API_SERVER_ADDRESS=http://head:8265
#   jobs/ray/submit.sh store.root=s3://bucket/atlas sweep=all ...
set -euo pipefail
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
id=$(atlas plan --id executor.address=auto "$@")
exec ray job submit --no-wait --submission-id "$id" --runtime-env "$(dirname "$0")/runtime-env.yaml" \
  -- exec python -m network_atlas run executor.address=auto "$@"
