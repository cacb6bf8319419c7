#!/usr/bin/env bash
# Pins anew what images install, after pyproject.toml or constraints.txt changed. Needs uv; run it from the root.
# Versions stay as near to constraints.txt as the extras let them: nodes of one cluster exchange objects.
set -euo pipefail

pin() { # FILE MUST EXTRA...
    local file=docker/constraints-$1.txt must=$2
    shift 2
    python3 docker/requirements.py "$@" > "$scratch/requirements.in"
    cp constraints.txt "$scratch/pins.txt" # uv keeps to what the output holds already, where it can
    tr ' ' '\n' <<< "$must" > "$scratch/must.txt"
    uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate \
        --constraint "$scratch/must.txt" --output-file "$scratch/pins.txt" "$scratch/requirements.in" > /dev/null
    cp "$scratch/pins.txt" "$file"
}

scratch=$(mktemp --directory)
trap 'rm -r "$scratch"' EXIT
base=$(grep -iE '^(ray|prefect|pyarrow|cloudpickle|sqlalchemy|pydantic)==' constraints.txt | tr '\n' ' ')
pin vllm "$base vllm==0.29.0 torch==2.13.0 transformers==5.19.0" vllm experts
pin train "$base torch==2.13.0 transformers==5.19.0 trl==1.16.0" train
# The base image takes constraints.txt as it is, and beside it what only clusters need.
pin cluster "$(tr '\n' ' ' < constraints.txt)"
python3 - <<'PYTHON'
import re
def name(line): return re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
base = {name(line) for line in open("constraints.txt")}
lines = open("docker/constraints-cluster.txt").readlines()
open("docker/constraints-cluster.txt", "w").writelines(line for line in lines if name(line) not in base)
PYTHON
