# What the findings share; sourced from the top of each, never run.
# shellcheck shell=bash

# A temporary folder that goes away with the script, whatever ends it.
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 1
printf '{"private":true,"type":"module"}\n' >package.json
cp "$lib"/*.mjs .

# npm_packages PACKAGE@VERSION...: installs them here, without running their scripts.
npm_packages() {
  timeout 110 npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps "$@" >&2
}

# npm_bare PACKAGE@VERSION: unpacks one package beside the others without its
# dependencies, where most of them are wallet interfaces that nothing here loads.
npm_bare() {
  local name=${1%@*} tarball
  tarball=$(timeout 60 npm pack --silent "$1")
  mkdir -p "node_modules/$name"
  tar -xzf "$tarball" -C "node_modules/$name" --strip-components 1
}

# python_packages PACKAGE==VERSION...: installs them into ./venv.
python_packages() {
  python3 -m venv venv
  timeout 110 ./venv/bin/pip install --quiet --disable-pip-version-check "$@" >&2
}
