#!/bin/sh
# Puts Relaydesk, as a container runs it, into DEST: its locked dependencies in DEST/venv, its code in DEST/app.
# Run by the Dockerfile beside it, and by tests/deploy, which run that installation as the container would be run.
# usage: install.sh DEST        the project's folder is the current one; PYTHON names the interpreter (default python3)
set -eu
dest=$1

"${PYTHON:-python3}" -m venv "$dest/venv"
python="$dest/venv/bin/python"
# wheels only: nothing is compiled, so no compiler is needed; hashes: nothing but what was locked is installed
"$python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
	--require-hashes --only-binary :all: -r requirements.lock
"$python" -m pip freeze --all --exclude pip --exclude setuptools > "$dest/packages.txt"

mkdir -p "$dest/app/clients" "$dest/app/docs"
cp -R relaydesk services shared console requirements.lock "$dest/app/"
cp -R clients/js "$dest/app/clients/"
if [ -d docs/api ]; then cp -R docs/api "$dest/app/docs/"; fi
rm -rf "$dest/app/shared/testing"

packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$dest/app" > "$packages/relaydesk.pth"
{
	echo "#!$python -P"
	echo "import sys"
	echo "from relaydesk.cli import main"
	echo "sys.exit(main())"
} > "$dest/venv/bin/relaydesk"
chmod 755 "$dest/venv/bin/relaydesk"

# what runs must not install: no pip, no setuptools; and nothing writes: the bytecode is made here
"$python" -m pip uninstall --quiet --yes setuptools pip
find "$dest" -name __pycache__ -prune -exec rm -rf {} +
"$python" -m compileall -q -j 2 --invalidation-mode unchecked-hash "$dest/app" "$packages"
