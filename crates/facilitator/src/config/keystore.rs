//! Encrypted key files: Web3 Secret Storage version 3, as geth, Foundry and alloy write them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use eth_keystore::{EthKeystore, KdfType, KdfparamsType, KeystoreError, decrypt_key};
use quittance_protocol::Secret;

/// Longest key file that is read; those of the common tools have 500 bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of the key that is derived from the password: a cipher's and a check's.
const DERIVED_BYTES: u8 = 32;

/// Bytes of the cipher's first block.
const BLOCK_BYTES: usize = 16;

/// Most memory that deriving the key may take. The common tools take 256 MiB.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Most rounds of the other derivation; the common tools take 262,144.
const ROUNDS_MAX: u32 = 10_000_000;

/// Why a key file does not open. Nothing of the file or of the password is repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    /// The path is not repeated either: it may be the secret, pasted by mistake.
    #[error("the key file that it names cannot be read ({0})")]
    Unreadable(std::io::ErrorKind),
    /// Not what its name says.
    #[error("the key file that it names is none of Web3 Secret Storage, version 3: {0}")]
    Format(&'static str),
    /// Or the file is not what was written.
    #[error("the password does not open the key file that it names")]
    Password,
}

/// The key of a file, as `0x` and hex digits.
pub(super) fn open(path: &str, password: &Secret) -> Result<Secret, Closed> {
    let path = Path::new(path);
    // The library takes a file's own word for lengths and for memory.
    check(&read(path)?)?;
    let key = decrypt_key(path, password.expose_bytes()).map_err(|error| match error {
        KeystoreError::MacMismatch => Closed::Password,
        _ => Closed::Format("its parameters"),
    })?;
    // Overwritten when dropped, as is each form of it on the way.
    let digits = Secret::new(hex::encode(Secret::new(key).expose_bytes()));
    Ok(Secret::new([b"0x", digits.expose_bytes()].concat()))
}

fn read(path: &Path) -> Result<EthKeystore, Closed> {
    let unreadable = |error: std::io::Error| Closed::Unreadable(error.kind());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Closed::Format("it is too long"));
    }
    serde_json::from_slice(&bytes).map_err(|_| Closed::Format("it does not have the fields of one"))
}

fn check(file: &EthKeystore) -> Result<(), Closed> {
    let crypto = &file.crypto;
    if file.version != 3 || crypto.cipher != "aes-128-ctr" {
        return Err(Closed::Format("another version or another cipher"));
    }
    if crypto.cipherparams.iv.len() != BLOCK_BYTES {
        return Err(Closed::Format("its first block"));
    }
    match (&crypto.kdf, &crypto.kdfparams) {
        (KdfType::Scrypt, KdfparamsType::Scrypt { dklen, n, p, r, .. }) => {
            let memory = u64::from(*n).checked_mul(128).and_then(|bytes| bytes.checked_mul(u64::from(*r)));
            let bounded = memory.is_some_and(|bytes| bytes <= MEMORY_BYTES_MAX) && *p <= 16;
            if *dklen != DERIVED_BYTES || !n.is_power_of_two() || *n < 2 || !bounded {
                return Err(Closed::Format("what deriving its key takes"));
            }
        }
        (KdfType::Pbkdf2, KdfparamsType::Pbkdf2 { c, dklen, prf, .. }) => {
            if *dklen != DERIVED_BYTES || prf != "hmac-sha256" || *c == 0 || *c > ROUNDS_MAX {
                return Err(Closed::Format("what deriving its key takes"));
            }
        }
        _ => return Err(Closed::Format("its way to derive a key")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::super::read_secret;
    use super::*;

    /// The key 0x4242…42 under "correct horse", as `eth-account` 0.14 writes it, in each way to derive.
    const SCRYPT: &str = r#"{"address":"17c5185167401eD00cF5F5b2fc97D9BBfDb7D025","crypto":{"cipher":"aes-128-ctr",
        "cipherparams":{"iv":"fc20b8a8e2d24ad61be648b7060705dd"},
        "ciphertext":"3faf8e211e40830b62547951e06f61bc3766579ff0e17fe034ccfba6e599d91e","kdf":"scrypt",
        "kdfparams":{"dklen":32,"n":4096,"r":8,"p":1,"salt":"6ff87a4ae260e00bfce5f995d029400d"},
        "mac":"d035d10fd5714cc0152e435c0167448dc5c9c0e279ce11d20fd0deb879d01b29"},
        "id":"a2f1cadc-baf0-4024-921e-7dd96b16e3fb","version":3}"#;
    const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"ee2fd97cef0342e1022619d1badc5143"},
        "ciphertext":"03750d0c4ae1b24fab1e97330b05bd76ea996c674e02baa6bb46cb8664763a9c","kdf":"pbkdf2",
        "kdfparams":{"c":1000,"dklen":32,"prf":"hmac-sha256","salt":"b4a7fd52bb01550b000d42760687c6bb"},
        "mac":"21805eebf38ab3c817c3f3e4efa28c04b217b57a936c14b5b411f57ec5d15769"},
        "id":"e044fa43-5e8d-42ee-a401-6251f4a69e70","version":3}"#;

    fn written(file: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key.json"), file).unwrap();
        fs::write(folder.path().join("password"), "correct horse\n").unwrap();
        folder
    }

    fn opened(folder: &Path) -> Result<Secret, String> {
        let at = folder.display();
        read_secret(&format!("keystore:{at}/key.json?password=file:{at}/password"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_file_is_opened_by_the_password_that_stands_elsewhere() {
        for file in [SCRYPT, PBKDF2] {
            let secret = opened(written(file).path()).unwrap();
            assert_eq!(secret.expose_str(), Some(format!("0x{}", "42".repeat(32)).as_str()));
        }
        let folder = written(SCRYPT);
        fs::write(folder.path().join("password"), "another").unwrap();
        let refused = opened(folder.path()).unwrap_err();
        assert!(refused.contains("the password does not open"), "{refused}");
        assert!(!refused.contains("another"), "{refused}");
    }

    #[test]
    fn what_a_key_file_says_of_lengths_and_memory_is_bounded_before_it_is_believed() {
        let (folder, right) = (written(SCRYPT), serde_json::from_str::<Value>(SCRYPT).unwrap());
        let changes = [
            ("/version", json!(1)),
            ("/crypto/cipher", json!("aes-128-cbc")),
            ("/crypto/cipherparams/iv", json!("00")),
            ("/crypto/kdfparams/dklen", json!(31)),
            ("/crypto/kdfparams/n", json!(1_u32 << 31)),
            ("/crypto/kdfparams/n", json!(1000)),
            ("/crypto/kdfparams/r", json!(1_000_000)),
            ("/crypto/kdfparams/p", json!(1_000)),
            ("/crypto/kdf", json!("pbkdf2")),
        ];
        for (pointer, value) in changes {
            let mut file = right.clone();
            *file.pointer_mut(pointer).unwrap() = value;
            fs::write(folder.path().join("key.json"), file.to_string()).unwrap();
            let refused = opened(folder.path()).unwrap_err();
            assert!(refused.contains("Web3 Secret Storage"), "{pointer}: {refused}");
        }
        fs::write(folder.path().join("key.json"), " ".repeat(20_000)).unwrap();
        assert!(opened(folder.path()).unwrap_err().contains("too long"));
    }

    #[test]
    fn a_keystore_without_a_reference_to_its_password_is_refused() {
        for reference in ["keystore:/k.json", "keystore:/k.json?password=secret", "keystore:?password=env:P"]
        {
            let refused = read_secret(reference).unwrap_err().to_string();
            assert!(refused.contains("?password="), "{refused}");
            assert!(!refused.contains("secret\"") && !refused.contains("k.json"), "{refused}");
        }
    }
}
