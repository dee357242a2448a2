#!/usr/bin/env bash
# Runs a command with COALMINE_TEST_KUBECONFIG, of a real Kubernetes API that lives as long as the command, with Istio's
# definitions in it, and with COALMINE_TEST_API_STOP and _START, which kill the kube-apiserver and start it again. Its programs
# are those of the mesh lab: make mesh-tools.
set -euo pipefail

tests=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
PYTHONPATH=$tests/mesh exec python3 -B -m lab kubernetes "$@"
