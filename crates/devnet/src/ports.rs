//! Free ports that stay ours, also when several devnets start at once.
//!
//! "Bind port 0, close, use the number" races: between the close and the real
//! bind another devnet, or an outgoing connection, can take the number. So the
//! ports come from below the ephemeral range, and each is held by a file lock
//! for as long as the devnet lives.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    net::TcpListener,
};

use crate::DevnetError;

/// First port that is tried. Above 4022–4060, where the samples of x402 live.
pub const PORT_MIN: u16 = 20_000;
/// Last port that is tried; Linux hands out ephemeral ports from 32,768 on.
pub const PORT_MAX: u16 = 32_000;
const TRIES_MAX: u32 = 200;

/// A port that no other devnet on this machine uses.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Held, not read: the lock ends with the process, however it ends.
    _lock: File,
}

impl Port {
    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `requested`, or any free one.
    pub fn claim(requested: Option<u16>) -> Result<Self, DevnetError> {
        if let Some(number) = requested {
            return Self::try_claim(number)?.ok_or(DevnetError::PortTaken(number));
        }
        for salt in 0..TRIES_MAX {
            let random = RandomState::new().hash_one(salt);
            let span = u64::from(PORT_MAX - PORT_MIN) + 1;
            let offset = u16::try_from(random % span).unwrap_or(0);
            if let Some(port) = Self::try_claim(PORT_MIN.saturating_add(offset))? {
                return Ok(port);
            }
        }
        Err(DevnetError::NoFreePort(PORT_MIN, PORT_MAX))
    }

    fn try_claim(number: u16) -> Result<Option<Self>, DevnetError> {
        let folder = std::env::temp_dir().join("quittance-devnet-ports");
        fs::create_dir_all(&folder).map_err(DevnetError::io(folder.display().to_string()))?;
        let path = folder.join(number.to_string());
        // Another user's file: that port is theirs.
        let Ok(lock) = File::options().create(true).truncate(false).write(true).open(path) else {
            return Ok(None);
        };
        if lock.try_lock().is_err() || TcpListener::bind(("127.0.0.1", number)).is_err() {
            return Ok(None);
        }
        Ok(Some(Self { number, _lock: lock }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_not_given_twice() {
        let first = Port::claim(None).unwrap();
        assert!((PORT_MIN..=PORT_MAX).contains(&first.number()));
        assert!(matches!(
            Port::claim(Some(first.number())),
            Err(DevnetError::PortTaken(number)) if number == first.number()
        ));
        let number = first.number();
        drop(first);
        assert_eq!(Port::claim(Some(number)).unwrap().number(), number);
    }

    #[test]
    fn a_listening_port_is_not_given() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        assert!(matches!(Port::claim(Some(number)), Err(DevnetError::PortTaken(_))));
    }
}
