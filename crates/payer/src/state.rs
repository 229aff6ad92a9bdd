//! Payments whose outcome nobody has said yet, and what was signed today; files, so that a
//! payer that died or gave up goes on where it was, and never signs twice for one request.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use quittance_protocol::{Amount, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::sign::random_hex;
use crate::{Limits, PayError};

/// How long after its deadline a payment may still be found to have landed, seconds: above the
/// finality lag of Base, some tens of minutes, and far above Solana's.
pub const FINALITY_SECONDS: u64 = 3_600;
/// How long a payment that a server said it had settled is sent again for its answer, seconds.
pub const PAID_KEPT_SECONDS: u64 = 7 * 86_400;

const DAY_SECONDS: u64 = 86_400;
const PENDING: &str = "pending";
const SETTLED: &str = "settled";

/// A folder for one or several payers, of one or several processes on this host.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// One signed payment and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The URL that asked for it; no other place is sent it.
    pub(crate) url: String,
    pub(crate) payer: String,
    pub(crate) header_name: String,
    pub(crate) header: String,
    pub(crate) bill: crate::Bill,
    pub(crate) signed_at: UnixSeconds,
    pub(crate) valid_until: UnixSeconds,
}

/// A payment that this call works on; locked until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) pending: Pending,
    place: PathBuf,
    _lock: File,
}

impl State {
    /// Makes the folder, readable for its owner alone, if it is not there.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, PayError> {
        let folder = folder.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| at(&folder, &error))?;
        Ok(Self { folder })
    }

    /// What is still open of the same request of one of these payers and nobody else works on.
    pub(crate) fn find(
        &self,
        request: &str,
        payers: &[String],
        now: UnixSeconds,
    ) -> Result<Option<Held>, PayError> {
        let _alone = self.alone()?;
        for place in self.payments()? {
            let Some(name) = place.file_name().and_then(|name| name.to_str()) else { continue };
            let settled = name.ends_with(SETTLED);
            let Some(held) = lock(&place)? else { continue };
            let kept_until = match settled {
                true => held.pending.signed_at.saturating_add(PAID_KEPT_SECONDS),
                false => held.pending.valid_until.saturating_add(FINALITY_SECONDS),
            };
            if now > kept_until {
                tracing::warn!(
                    url = held.pending.url, amount = %held.pending.bill.amount,
                    "a payment is dropped: nobody ever said what became of it, or its answer never came"
                );
                held.done()?;
            } else if name.starts_with(request) && payers.contains(&held.pending.payer) {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// Counts what was signed against the day and keeps the payment, in this order: a process
    /// that dies between them has spent too much on paper, never in truth.
    pub(crate) fn record(
        &self,
        request: &str,
        pending: Pending,
        (host, limits): (&str, &Limits),
    ) -> Result<Held, PayError> {
        let _alone = self.alone()?;
        if limits.token.is_none() {
            self.spend(host, pending.bill.amount, limits, pending.signed_at)?;
        }
        let id = random_hex();
        let draft = self.folder.join(format!(".{request}-{id}"));
        let place = self.folder.join(format!("{request}-{id}.{PENDING}"));
        let write = || -> std::io::Result<File> {
            let mut file = private().create_new(true).open(&draft)?;
            file.lock()?;
            file.write_all(&serde_json::to_vec(&pending)?)?;
            file.sync_all()?;
            fs::rename(&draft, &place)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(file)
        };
        let file = write().map_err(|error| at(&place, &error))?;
        Ok(Held { pending, place, _lock: file })
    }

    fn spend(&self, host: &str, amount: Amount, limits: &Limits, now: UnixSeconds) -> Result<(), PayError> {
        let today = now / DAY_SECONDS;
        let place = self.folder.join("spent.json");
        let mut spent = match fs::read(&place) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| at(&place, &error.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Spent::default(),
            Err(error) => return Err(at(&place, &error)),
        };
        if spent.day != today {
            spent = Spent { day: today, ..Spent::default() };
        }
        let all = spent.hosts.values().try_fold(amount, |sum, one| sum.checked_add(*one));
        let here = spent.hosts.get(host).copied().unwrap_or(Amount::new(0)).checked_add(amount);
        for (sum, limit, whose) in [(&all, limits.day, "all hosts"), (&here, limits.host_day, host)] {
            let Some(limit) = limit else { continue };
            if sum.as_ref().map_or(true, |sum| *sum > limit) {
                return Err(PayError::Limit(format!(
                    "with this call more than {} USDC would be signed today for {whose}",
                    limit.to_usdc()
                )));
            }
        }
        spent.hosts.insert(host.to_owned(), here.unwrap_or(Amount::new(u64::MAX)));
        let draft = self.folder.join(".spent.json");
        let write = || -> std::io::Result<()> {
            let mut file = private().create(true).truncate(true).open(&draft)?;
            file.write_all(&serde_json::to_vec(&spent)?)?;
            file.sync_all()?;
            fs::rename(&draft, &place)
        };
        write().map_err(|error| at(&place, &error))
    }

    /// Short: nobody waits for a network with it.
    fn alone(&self) -> Result<File, PayError> {
        let place = self.folder.join(".lock");
        let take = || -> std::io::Result<File> {
            let file = private().create(true).truncate(false).open(&place)?;
            file.lock()?;
            Ok(file)
        };
        take().map_err(|error| at(&place, &error))
    }

    /// In the order of their names, so that every process sees the same one first.
    fn payments(&self) -> Result<Vec<PathBuf>, PayError> {
        let list = || -> std::io::Result<Vec<PathBuf>> {
            fs::read_dir(&self.folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
        };
        let mut places = list().map_err(|error| at(&self.folder, &error))?;
        places.retain(|place| place.extension().is_some_and(|end| end == PENDING || end == SETTLED));
        places.sort();
        Ok(places)
    }
}

impl Held {
    /// A server says that it is settled; what is missing is its answer.
    pub(crate) fn settled(&mut self) -> Result<(), PayError> {
        let place = self.place.with_extension(SETTLED);
        fs::rename(&self.place, &place).map_err(|error| at(&place, &error))?;
        self.place = place;
        Ok(())
    }

    /// Nothing is open any more.
    pub(crate) fn done(self) -> Result<(), PayError> {
        fs::remove_file(&self.place).map_err(|error| at(&self.place, &error))
    }
}

/// What was signed on one day.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Spent {
    /// Days since the Unix epoch.
    day: u64,
    hosts: BTreeMap<String, Amount>,
}

/// `None` where another call works on it, or has just ended it.
fn lock(place: &Path) -> Result<Option<Held>, PayError> {
    let mut file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(place, &error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(at(place, &error)),
    }
    if !place.exists() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| at(place, &error))?;
    // Whoever cannot read it must not sign again for what it may be.
    let pending = serde_json::from_slice(&bytes).map_err(|error| at(place, &error.into()))?;
    Ok(Some(Held { pending, place: place.to_owned(), _lock: file }))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn at(place: &Path, error: &std::io::Error) -> PayError {
    PayError::State { path: place.display().to_string(), problem: error.to_string() }
}

#[cfg(test)]
mod tests;
