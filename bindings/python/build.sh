#!/usr/bin/env bash
# Builds the wheel of the package `lockstep` in the folder OUT, for CPython 3.11 and newer:
#
#     bindings/python/build.sh OUT [PROFILE]
#
# maturin reads the versions of the symbols that the module needs, and names the oldest glibc that has them in the
# wheel: manylinux_2_34 is glibc 2.34. PROFILE is one of Cargo.toml, `release` unless another one is given. maturin is
# the one in the path; CARGO_TARGET_DIR says where cargo builds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

out=${1:?"where to? bindings/python/build.sh OUT [PROFILE]"}
profile=${2:-release}
if ! command -v maturin >/dev/null; then
    echo "bindings/python/build.sh: there is no maturin in the path: pip install 'maturin>=1.16,<2'" >&2
    exit 1
fi

# `pypi`: no wheel at all where the tag would be one that PyPI refuses.
maturin build --quiet --locked --profile "$profile" --manifest-path "$here/Cargo.toml" --compatibility pypi --strip \
    --out "$out"
