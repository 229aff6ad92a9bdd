//! Who may read the ledger: it holds answers, and the keys of kept ones.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::*;

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn new_books_and_their_log_are_their_owners_alone() {
    let store = Store::sqlite();
    let ledger = store.open().await;
    won(&ledger, new_claim(1, 0)).await;
    let path = store.url.strip_prefix("sqlite://").unwrap();
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&format!("{path}{suffix}")), 0o600, "ledger.db{suffix}");
    }
    ledger.close().await;
    // What is there already keeps the mode that its operator gave it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let ledger = store.open().await;
    won(&ledger, new_claim(2, 0)).await;
    assert_eq!(mode(path), 0o640);
    // The log may be the one that was there, or one with the mode of the ledger.
    let log = mode(&format!("{path}-wal"));
    assert!([0o600, 0o640].contains(&log), "{log:o}");
}
