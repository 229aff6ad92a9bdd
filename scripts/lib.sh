# shellcheck shell=bash
# What the scripts share. Source it; it changes into no folder and prints only
# to stderr.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/quittance/target}"
# What the scripts build is used by every clone: incremental state of each would
# only fill the disk.
export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"
CLIENTS="$ROOT/tests/clients"
# Clients and servers of x402 version 1: only their test wants them.
export CLIENTS_V1="$ROOT/tests/clients-v1"
# Clients and servers of others, of npm and PyPI, for docs/compatibility.md.
export COMPAT="$ROOT/tests/compat"
# Packages of others that auditors use.
export AUDIT="$ROOT/tests/audit"
# The published schemas of Kubernetes.
export KUBERNETES="$ROOT/tests/kubernetes"
# Packages of others that agents use.
export AGENTS="$ROOT/tests/agents"
export QUITTANCE_NODE_MODULES="${QUITTANCE_NODE_MODULES:-$CLIENTS/node_modules}"

# Debian keeps initdb and pg_ctl off the PATH.
if ! command -v initdb >/dev/null 2>&1; then
  for folder in /usr/lib/postgresql/*/bin; do
    if [[ -x "$folder/initdb" ]]; then
      PATH="$folder:$PATH"
    fi
  done
fi

log() {
  printf '%s\n' "$*" >&2
}

die() {
  log "error: $*"
  exit 1
}

need() { # need COMMAND HINT
  command -v "$1" >/dev/null 2>&1 || die "$1 is missing: $2"
}

# Installs the official clients, anvil and the token artifacts, once per lock file.
npm_ready() {
  npm_folder "$CLIENTS"
}

# Installs the packages of a folder with a lock file, once per lock file.
npm_folder() { # npm_folder FOLDER
  need npm "install Node.js 20 or newer"
  local folder="$1"
  local stamp="$folder/node_modules/.quittance-lock" lock="$folder/package-lock.json"
  if [[ -f "$stamp" ]] && cmp -s "$lock" "$stamp"; then
    return 0
  fi
  # Two scripts that start together install once.
  # shellcheck disable=SC2094 # the folder itself is only locked, not read
  (
    flock 9
    if [[ -f "$stamp" ]] && cmp -s "$lock" "$stamp"; then
      exit 0
    fi
    log "installing the npm packages of ${folder#"$ROOT"/}"
    npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error >&2 || exit 1
    cp "$lock" "$stamp"
  ) 9<"$folder" || die "npm ci failed in $folder"
}

# A Python environment with the packages that a folder's requirements.txt pins, once per
# content of it: FOLDER/.venv.
python_folder() { # python_folder FOLDER
  need python3 "install Python 3.10 or newer with its venv module (apt-get install python3-venv)"
  local folder="$1"
  local venv="$folder/.venv" wanted="$folder/requirements.txt"
  local stamp="$venv/.quittance-requirements"
  # shellcheck disable=SC2094 # the folder itself is only locked, not read
  (
    flock 9
    if [[ -f "$stamp" ]] && cmp -s "$wanted" "$stamp"; then
      exit 0
    fi
    log "installing the Python packages of ${folder#"$ROOT"/}"
    rm -rf "$venv"
    python3 -m venv "$venv" >&2 || exit 1
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted" >&2 || exit 1
    cp "$wanted" "$stamp"
  ) 9<"$folder" || die "pip could not install $wanted"
}

# What the tests of clients and servers of others want.
compat_ready() {
  npm_folder "$CLIENTS_V1"
  npm_folder "$COMPAT"
  python_folder "$COMPAT"
}

# What the test of signed offers and receipts wants.
audit_ready() {
  npm_folder "$CLIENTS_V1"
  npm_folder "$AUDIT"
}

# What the test of agents wants.
agents_ready() {
  npm_folder "$AGENTS"
}

# What those of the tests of clients and servers want that take long to install.
compat_long_ready() {
  npm_folder "$COMPAT/long"
}

# Builds the devnet into $CARGO_TARGET_DIR/debug; cargo decides what is stale.
# The first build compiles a Solana validator and takes some eight minutes.
build_devnet() {
  need cargo "install Rust with rustup; rust-toolchain.toml names the version"
  log "building the devnet"
  cargo build --quiet --manifest-path "$ROOT/Cargo.toml" -p quittance-devnet >&2 ||
    die "the devnet does not build"
}

# Builds the program and the sample API with fail points (docs/faults.md) into
# $CARGO_TARGET_DIR/failpoints. They pass through debug/, where build_programs
# must put the ordinary ones back afterwards.
build_failpoints() {
  need cargo "install Rust with rustup; rust-toolchain.toml names the version"
  log "building the program and the sample API with fail points"
  cargo build --quiet --manifest-path "$ROOT/Cargo.toml" -p quittance -p sample-api \
    --features quittance-facilitator/failpoints >&2 || die "the program does not build with fail points"
  mkdir -p "$CARGO_TARGET_DIR/failpoints"
  cp "$CARGO_TARGET_DIR/debug/quittance" "$CARGO_TARGET_DIR/debug/sample-api" "$CARGO_TARGET_DIR/failpoints/"
}

# Builds the program and the sample API into $CARGO_TARGET_DIR/debug.
build_programs() {
  need cargo "install Rust with rustup; rust-toolchain.toml names the version"
  log "building the program and the sample API"
  cargo build --quiet --manifest-path "$ROOT/Cargo.toml" -p quittance -p sample-api >&2 ||
    die "the program does not build"
}
