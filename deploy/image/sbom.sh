#!/bin/sh
# Writes what an installation of install.sh holds, as CycloneDX JSON (the software bill of materials).
# usage: sbom.sh DEST FILE      the generator is installed beside, not into it; PYTHON names the interpreter
set -eu
dest=$1 file=$2 here=$(cd "$(dirname "$0")" && pwd)
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
	--require-hashes --only-binary :all: -r "$here/sbom-requirements.lock"
"$tools/bin/cyclonedx-py" environment --output-format JSON --output-file "$file" "$dest/venv/bin/python"
