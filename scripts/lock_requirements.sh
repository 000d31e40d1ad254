#!/usr/bin/env bash
# Write requirements/py3XX.txt: exact versions and hashes for each supported Python.
#
#   bash scripts/lock_requirements.sh [uv pip compile options, such as --upgrade-package av]
#   bash scripts/lock_requirements.sh --check     # no Python but uv's own is needed, nothing is written
#
# Versions that are locked stay unless an option upgrades them. --check fails where pyproject.toml asks
# for something else than is locked, or a locked version has no wheel for a Python and a system. Needs
# uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # MINOR OUTPUT [uv options]
    local minor=$1 output=$2
    shift 2
    uv pip compile pyproject.toml --quiet --universal --no-build --generate-hashes --no-header --no-annotate \
        --extra c2pa --extra demo --extra dev --extra docs --extra engine --extra evaluate \
        --extra export-engine --extra preprocess --extra render --extra studio \
        --constraint requirements/constraints.txt --python-version "3.$minor" --output-file "$output" "$@"
}

scratch=
if [ "${1:-}" = --check ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
fi
export MACOSX_DEPLOYMENT_TARGET=15.0 # the oldest that Apple keeps secure
for minor in 10 11 12 13 14; do
    lock=requirements/py3$minor.txt
    if [ -z "$scratch" ]; then
        compile "$minor" "$lock" "$@"
        continue
    fi
    cp "$lock" "$scratch"
    compile "$minor" "$scratch/py3$minor.txt"
    if ! diff --brief "$lock" "$scratch/py3$minor.txt" >&2; then
        echo "$lock: not what pyproject.toml asks for; bash scripts/lock_requirements.sh writes it" >&2
        exit 2
    fi
    for platform in x86_64-unknown-linux-gnu aarch64-apple-darwin x86_64-pc-windows-msvc; do
        echo "Python 3.$minor, $platform"
        uv pip install --dry-run --quiet --no-deps --no-build --require-hashes --requirement "$lock" \
            --python-version "3.$minor" --python-platform "$platform" --target "$scratch/site"
    done
done
