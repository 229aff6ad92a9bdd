//! What is written, and who may read it.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: InitArgs,
}

/// `quittance init` with so many flags, into a folder.
fn init(dir: &Path, flags: &[&str]) -> Result<ExitCode, CommandError> {
    let dir = dir.display().to_string();
    let pay_to = "0x1111111111111111111111111111111111111111";
    let always = ["init", "--dir", &dir, "--upstream", "http://127.0.0.1:9", "--base-pay-to", pay_to];
    let line = always.iter().chain(flags).copied();
    run(Line::try_parse_from(line).unwrap().args)
}

#[test]
fn a_pasted_secret_is_refused_unrepeated_and_nothing_is_written() {
    let key = format!("0x{}", "4f".repeat(32));
    let behind_env = format!("env:{key}");
    for (flag, secret) in [
        ("--base-wallet", key.as_str()),
        ("--base-wallet", &behind_env),
        ("--solana-wallet", "[12,34]"),
        ("--upstream-bearer", "sk-live-abcdef"),
        ("--upstream-bearer", "env:sk_live_abcdef"),
        ("--ledger", "postgres://shop:hunter22@db.example/shop"),
        ("--ledger", "postgres://db.example/shop?user=shop&password=hunter22"),
        ("--ledger", "postgres://shop:hunter22@[db/shop"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let said = init(dir.path(), &[flag, secret]).unwrap_err().to_string();
        assert!(said.contains(flag), "{said}");
        assert!(!said.contains(secret) && !said.contains("hunter22") && !said.contains("sk_live"), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{flag} {secret}");
    }
}

#[test]
fn the_configuration_is_its_owners_alone_whatever_was_there() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = elsewhere.path().join("theirs");
    std::fs::write(&target, "theirs").unwrap();
    let path = dir.path().join(CONFIG);
    symlink(&target, &path).unwrap();
    symlink(&target, dir.path().join(".quittance.toml.new")).unwrap();
    init(dir.path(), &["--force", "--ledger", "env:LEDGER_URL"]).unwrap();
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.is_file(), "not through a link");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs");
}
