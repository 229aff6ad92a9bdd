# shellcheck shell=bash
# The checks of scripts/test that are more than one command. Source it after lib.sh.

CARGO_DENY_VERSION=0.20.2

step() { # step NAME COMMAND...
  local name="$1" begun=$SECONDS
  shift
  log "== $name"
  "$@" || die "$name failed"
  log "== $name: ok after $((SECONDS - begun)) s"
}

# Builds a cargo subcommand once into the cache and prints its path.
cargo_tool() { # cargo_tool NAME VERSION
  local tools="$CARGO_TARGET_DIR/../tools"
  if ! "$tools/bin/$1" "${1#cargo-}" --version 2>/dev/null | grep -qF "$2"; then
    log "installing $1 $2"
    cargo install "$1" --version "$2" --locked --quiet --root "$tools" \
      --target-dir "$CARGO_TARGET_DIR/tools" >&2 || return 1
    rm -rf "$CARGO_TARGET_DIR/tools"
  fi
  printf '%s' "$tools/bin/$1"
}

deny() {
  local tool
  tool=$(cargo_tool cargo-deny "$CARGO_DENY_VERSION") || return 1
  "$tool" --log-level error check bans licenses sources >&2 || return 1
  if ! "$tool" --log-level off check advisories >/dev/null 2>&1; then
    if "$tool" fetch db >/dev/null 2>&1; then
      "$tool" check advisories >&2 # reachable: its findings count
    else
      log "SKIPPED: advisories, because the advisory database cannot be reached"
    fi
  fi
}

# The ledger's model, and what else only tests build in, must not reach a program.
program_features() {
  local features
  features=$(cargo tree --locked -p quittance -p sample-api -e features,no-dev --prefix none) || return 1
  ! grep -E 'quittance-(ledger|facilitator|solana) feature "(model|testing|failpoints|defects)"|^quittance-(sim|fuzz) |^litesvm |tokio feature "test-util"' \
    <<<"$features" >&2
}

documentation() {
  # Whoever reads these pages has the source: links to what is private lead somewhere.
  RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --quiet --no-deps
}

# Every set of a crate's features, none included, compiles without a warning. The devnet's are
# left out: each set would compile its validator once more.
feature_sets() {
  local manifest package set bits one
  local -a features
  for manifest in crates/*/Cargo.toml; do
    mapfile -t features < <(features_of "$manifest")
    package=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
    if [[ "$package" == quittance-devnet ]] || ((${#features[@]} == 0)); then
      continue
    fi
    for ((bits = 0; bits < 1 << ${#features[@]}; bits++)); do
      set=
      for one in "${!features[@]}"; do
        if ((bits >> one & 1)); then set+=",${features[one]}"; fi
      done
      cargo clippy --locked --quiet -p "$package" --lib --no-default-features --features "${set#,}" \
        -- -D warnings || return 1
    done
  done
}

features_of() { # features_of MANIFEST
  sed -n '/^\[features\]/,/^\[[^f]/s/^\([a-z_-]*\) = \[.*/\1/p' "$1" | grep -v '^default$'
}

shell_lints() {
  need shellcheck "run scripts/setup --with-shellcheck"
  local -a scripts
  # Whatever bash runs, whatever it is called.
  mapfile -t scripts < <(grep -lE '^#!.*bash|^# shellcheck shell=bash' -r scripts findings .ci deploy examples)
  shellcheck --external-sources "${scripts[@]}" >&2
}

javascript_lints() {
  npm_ready
  "$QUITTANCE_NODE_MODULES/.bin/biome" lint --error-on-warnings --max-diagnostics=50 >&2
}

unit_tests() { # unit_tests [-p PACKAGE]... [FILTER]
  QUITTANCE_SKIP_CHAINS=1 cargo test --locked --quiet "$@"
}

# The same, and at least one must have run.
some_unit_tests() { # some_unit_tests -p PACKAGE... FILTER
  local said
  said=$(unit_tests "$@" | tee /dev/stderr) || return 1
  if ! grep -qE '^test result: ok\. [1-9]' <<<"$said"; then
    log "no unit test is called ${!#}"
    return 1
  fi
}

end_to_end() { # end_to_end FILE [OPTION...]
  node --test-reporter=spec "$ROOT/tests/$1" "${@:2}"
}
