//! Payments whose outcome nobody has said yet, and what was signed today; files, so that a
//! payer that died or gave up goes on where it was, and never signs twice for one request.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use quittance_protocol::{Amount, SignedOffer, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::sign::random_hex;
use crate::{Limits, PayError, Request};

/// How long after its deadline a payment may still be found to have landed, seconds: above the
/// finality lag of Base, some tens of minutes, and far above Solana's.
pub const FINALITY_SECONDS: u64 = 3_600;
/// How long a payment that a server said it had settled is sent again for its answer, seconds.
pub const PAID_KEPT_SECONDS: u64 = 7 * 86_400;

const DAY_SECONDS: u64 = 86_400;
/// What was signed today.
const SPENT: &str = "spent.json";
/// How a payment's file ends: nobody said what became of it;
const PENDING: &str = "pending";
/// a server said that it is settled, and its answer is missing;
const SETTLED: &str = "settled";
/// a server refused it without a receipt: whoever stands before it may have answered, so it is
/// sent again while it could still be landed.
const REFUSED: &str = "refused";

/// A folder for one or several payers, of one or several processes on this host.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// One signed payment and where it goes. `Debug` leaves out the payment: whoever reads it can land it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The URL that asked for it; no other place is sent it.
    pub(crate) url: String,
    pub(crate) payer: String,
    pub(crate) header_name: String,
    pub(crate) header: String,
    pub(crate) bill: crate::Bill,
    /// The offer as its seller signed it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signed_offer: Option<SignedOffer>,
    pub(crate) signed_at: UnixSeconds,
    pub(crate) valid_until: UnixSeconds,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("url", &self.url).field("bill", &self.bill).finish_non_exhaustive()
    }
}

impl Pending {
    /// The last moment at which it is sent again.
    fn kept_until(&self, place: &Path) -> UnixSeconds {
        match place.extension().and_then(|end| end.to_str()) {
            Some(SETTLED) => self.signed_at.saturating_add(PAID_KEPT_SECONDS),
            Some(REFUSED) => self.valid_until,
            _ => self.valid_until.saturating_add(FINALITY_SECONDS),
        }
    }

    fn shown(self, place: &Path, kept_until: UnixSeconds) -> Kept {
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Kept {
            fingerprint: name.split('-').next().unwrap_or_default().to_owned(),
            url: self.url,
            bill: self.bill,
            signed_at: self.signed_at,
            kept_until,
            is_settled: place.extension().is_some_and(|end| end == SETTLED),
        }
    }
}

/// A payment that the next call of the same request sends again.
#[derive(Clone, Debug)]
pub struct Kept {
    fingerprint: String,
    /// Where it goes.
    pub url: String,
    /// What was signed.
    pub bill: crate::Bill,
    /// When.
    pub signed_at: UnixSeconds,
    /// It is dropped after that.
    pub kept_until: UnixSeconds,
    /// Whether a server said that the money moved, and only its answer is missing.
    pub is_settled: bool,
}

impl Kept {
    /// Whether it is this request that it would be sent with.
    pub fn is_of(&self, request: &Request) -> bool {
        self.fingerprint == request.fingerprint()
    }
}

/// What is on file of a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing is open.
    Nothing,
    /// Another call of the same request is under way.
    Busy,
    /// This is, and it is this call's now.
    Open(Held),
}

/// A payment that this call works on; locked until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) pending: Box<Pending>,
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

    /// What is still open of the same request of one of these payers.
    pub(crate) fn find(&self, request: &str, payers: &[String], now: UnixSeconds) -> Result<Found, PayError> {
        let _alone = self.alone()?;
        let mut found = Found::Nothing;
        for place in self.payments()? {
            let Some(name) = place.file_name().and_then(|name| name.to_str()) else { continue };
            let ours = name.starts_with(request);
            let held = match lock(&place)? {
                Locked::Held(held) => held,
                Locked::ByAnother if ours => {
                    found = Found::Busy;
                    continue;
                }
                Locked::ByAnother | Locked::Gone => continue,
            };
            if now > held.pending.kept_until(&held.place) {
                tracing::warn!(
                    url = held.pending.url, amount = %held.pending.bill.amount,
                    "a payment is dropped: nobody ever said what became of it, or its answer never came"
                );
                held.done()?;
            } else if ours && payers.contains(&held.pending.payer) {
                return Ok(Found::Open(held));
            }
        }
        Ok(found)
    }

    /// Counts what was signed against the day and keeps the payment, in this order: a process
    /// that dies between them has spent too much on paper, never in truth. Neither is done where
    /// something of the same request and one of these payers is on file: two calls that both saw
    /// nothing open would both pay.
    pub(crate) fn record(
        &self,
        request: &str,
        pending: Pending,
        (host, limits): (&str, &Limits),
        payers: &[String],
    ) -> Result<Option<Held>, PayError> {
        let _alone = self.alone()?;
        if self.kept(payers, pending.signed_at)?.iter().any(|one| one.fingerprint == request) {
            return Ok(None);
        }
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
        Ok(Some(Held { pending: Box::new(pending), place, _lock: file }))
    }

    /// What was signed today, by host; a clock that goes back begins no new day.
    pub(crate) fn signed_today(&self, now: UnixSeconds) -> Result<BTreeMap<String, Amount>, PayError> {
        Ok(self.spent(now)?.hosts)
    }

    fn spent(&self, now: UnixSeconds) -> Result<Spent, PayError> {
        let today = now / DAY_SECONDS;
        let place = self.folder.join(SPENT);
        let spent: Spent = match fs::read(&place) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| at(&place, &error.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Spent::default(),
            Err(error) => return Err(at(&place, &error)),
        };
        Ok(if today > spent.day { Spent { day: today, ..Spent::default() } } else { spent })
    }

    /// What of these payers is kept, for whoever asks; nobody waits for it, and what another call
    /// works on is in it, too.
    pub(crate) fn kept(&self, payers: &[String], now: UnixSeconds) -> Result<Vec<Kept>, PayError> {
        let mut all = Vec::new();
        for place in self.payments()? {
            let bytes = match fs::read(&place) {
                Ok(bytes) => bytes,
                // Another call has just ended it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&place, &error)),
            };
            let pending: Pending =
                serde_json::from_slice(&bytes).map_err(|error| at(&place, &error.into()))?;
            let until = pending.kept_until(&place);
            if now <= until && payers.contains(&pending.payer) {
                all.push(pending.shown(&place, until));
            }
        }
        Ok(all)
    }

    fn spend(&self, host: &str, amount: Amount, limits: &Limits, now: UnixSeconds) -> Result<(), PayError> {
        let place = self.folder.join(SPENT);
        let mut spent = self.spent(now)?;
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
        let ends = [PENDING, SETTLED, REFUSED];
        places.retain(|place| place.extension().is_some_and(|end| ends.iter().any(|one| end == *one)));
        places.sort();
        Ok(places)
    }
}

impl Held {
    /// A server says that it is settled; what is missing is its answer.
    pub(crate) fn settled(&mut self) -> Result<(), PayError> {
        self.becomes(SETTLED)
    }

    /// Somebody refused it, and showed no receipt.
    pub(crate) fn refused(&mut self) -> Result<(), PayError> {
        self.becomes(REFUSED)
    }

    fn becomes(&mut self, end: &str) -> Result<(), PayError> {
        let place = self.place.with_extension(end);
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

enum Locked {
    Held(Held),
    ByAnother,
    /// Another call has just ended it.
    Gone,
}

fn lock(place: &Path) -> Result<Locked, PayError> {
    let mut file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Locked::Gone),
        Err(error) => return Err(at(place, &error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Locked::ByAnother),
        Err(TryLockError::Error(error)) => return Err(at(place, &error)),
    }
    if !place.exists() {
        return Ok(Locked::Gone);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| at(place, &error))?;
    // Whoever cannot read it must not sign again for what it may be.
    let pending = serde_json::from_slice(&bytes).map_err(|error| at(place, &error.into()))?;
    Ok(Locked::Held(Held { pending, place: place.to_owned(), _lock: file }))
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
