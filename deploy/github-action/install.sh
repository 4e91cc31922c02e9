#!/usr/bin/env bash
# Builds a version of armspan with cargo, from its tag. Cache ~/.cargo to do it once.
set -euo pipefail
if [[ ! "$INPUT_VERSION" =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
  echo "version is three numbers, such as 0.1.0" >&2
  exit 2
fi
root="$RUNNER_TEMP/armspan-$INPUT_VERSION"
cargo install --locked --quiet --root "$root" --git https://github.com/armspan/armspan --tag "v$INPUT_VERSION" armspan
echo "armspan=$root/bin/armspan" >> "$GITHUB_OUTPUT"
