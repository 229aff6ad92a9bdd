//! The packages that this project stands on are in the shipped programs, and used there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::files::{below, packages, read, root};

/// The package, the crate that uses it, and code of that crate which cannot do without.
const STANDS_ON: [(&str, &str, &str); 11] = [
    ("actix-web", "crates/actix", "actix_web::"),
    ("actix-web", "crates/server", "actix_web::"),
    ("alloy", "crates/evm", "alloy::providers::{Provider, RootProvider}"),
    ("solana-sdk", "crates/solana", "solana_sdk::message::"),
    ("solana-client", "crates/solana", "solana_client::nonblocking::rpc_client::RpcClient"),
    ("spl-token", "crates/solana", "spl_token_interface::instruction::TokenInstruction"),
    (
        "spl-associated-token-account",
        "crates/solana",
        "spl_associated_token_account_interface::instruction::AssociatedTokenAccountInstruction",
    ),
    ("serde", "crates/protocol", "serde::{Deserialize, Serialize}"),
    ("sqlx", "crates/ledger", "sqlx::"),
    ("tokio", "crates/facilitator", "tokio::"),
    ("prometheus", "crates/facilitator", "prometheus::"),
];

/// On-chain programs, for which their interfaces stand, and why:
/// `docs/decisions/0024-the-chains-own-clients.md`.
const INTERFACES: [&str; 2] = ["spl-token", "spl-associated-token-account"];

/// The programs that are shipped.
const PROGRAMS: [&str; 2] = ["quittance", "sample-api"];

/// What a package is built from, without tests and build scripts, and without what is optional.
fn normal(folder: &str) -> BTreeSet<String> {
    section(&read(&format!("{folder}/Cargo.toml")), "dependencies")
}

/// The names in a section of a manifest.
fn section(manifest: &str, name: &str) -> BTreeSet<String> {
    let start = format!("\n[{name}]\n");
    let Some((_, text)) = manifest.split_once(&start) else { return BTreeSet::new() };
    let lines = text.split("\n[").next().unwrap().lines();
    let entries = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let entries = entries.filter(|line| !line.contains("optional = true"));
    entries.map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

fn name_of(folder: &str) -> String {
    let manifest = read(&format!("{folder}/Cargo.toml"));
    manifest.split("\nname = \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// Folders of the crates of ours that are in the shipped programs.
fn shipped() -> BTreeSet<String> {
    let folders: BTreeMap<String, String> =
        packages().into_iter().map(|folder| (name_of(&folder), folder)).collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = PROGRAMS.map(str::to_owned).to_vec();
    while let Some(name) = open.pop() {
        if let Some(folder) = folders.get(&name)
            && found.insert(folder.clone())
        {
            open.extend(normal(folder));
        }
    }
    found
}

/// Whether code of a crate, other than its tests, holds some text.
fn code_holds(folder: &str, text: &str) -> bool {
    let is_test = |path: &str| {
        path.contains("/tests/")
            || ["/tests.rs", "/testing.rs", "/fake.rs"].iter().any(|end| path.ends_with(end))
    };
    let files = below(&format!("{folder}/src"), &[".rs"]).into_iter().filter(|path| !is_test(path));
    files.map(|path| read(&path)).any(|code| code.split("\nmod tests {").next().unwrap().contains(text))
}

#[test]
fn every_package_that_was_asked_for_is_used_in_a_shipped_program() {
    let shipped = shipped();
    for (asked, folder, code) in STANDS_ON {
        let package =
            if INTERFACES.contains(&asked) { format!("{asked}-interface") } else { asked.to_owned() };
        assert!(shipped.contains(folder), "{folder} is in no shipped program");
        assert!(normal(folder).contains(&package), "{folder} is not built from {package}");
        assert!(code_holds(folder, code), "{folder} does not use {package}: {code}");
    }
}

/// What nobody uses leaves the list of dependencies.
#[test]
fn every_dependency_of_the_workspace_has_a_user() {
    let listed = section(&read("Cargo.toml"), "workspace.dependencies");
    assert!(listed.len() > 50, "the list is read");
    let manifests: Vec<_> = packages().iter().map(|folder| read(&format!("{folder}/Cargo.toml"))).collect();
    for name in listed {
        let uses = [format!("\n{name}.workspace"), format!("\n{name} = {{ workspace")];
        let is_used = manifests.iter().any(|manifest| uses.iter().any(|line| manifest.contains(line)));
        assert!(is_used, "nobody uses {name}: take it out of Cargo.toml");
    }
}

/// What cargo would build: the packages are there, and no on-chain program or validator is.
#[test]
fn no_program_of_a_chain_is_in_a_shipped_program() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "no-dev", "--prefix", "none"])
        .args(PROGRAMS.iter().flat_map(|program| ["-p", program]))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let has = |package: &str| tree.lines().any(|line| line.starts_with(&format!("{package} v")));
    for (asked, _, _) in STANDS_ON {
        match INTERFACES.contains(&asked) {
            true => assert!(has(&format!("{asked}-interface")) && !has(asked), "{asked}"),
            false => assert!(has(asked), "{asked}"),
        }
    }
    for package in ["surfpool-core", "openssl"] {
        assert!(!has(package), "{package} is shipped");
    }
}
