use crate::exposure::NoRoom;
use crate::types::{AttemptId, DeliveryState, Payment, PaymentState};
use quittance_protocol::{PaymentId, foreign_words};

/// What went wrong below us, without the driver's types.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the ledger did not do what it was asked.
///
/// Except for [`CommitUnknown`](Self::CommitUnknown), an error means that
/// nothing of the operation is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The URL names neither `sqlite:` nor `postgres:`, or does not parse.
    #[error("ledger url must be sqlite://PATH, sqlite::memory: or postgres://…: {0}")]
    Url(String),
    /// Another process has this SQLite ledger open, or uses this instance name.
    #[error("ledger is in use: {0}; stop the other process or give this one its own instance name")]
    InUse(String),
    /// The schema could not be brought up to date.
    #[error("migrating the ledger: {0}")]
    Migration(#[source] Cause),
    /// The database cannot be reached or is too busy; later it may be.
    #[error("ledger unavailable: {0}")]
    Unavailable(#[source] Cause),
    /// The connection broke during COMMIT: the operation may or may not be
    /// stored. Read the payment before doing anything else with it.
    #[error("ledger commit unknown: {0}")]
    CommitUnknown(#[source] Cause),
    /// The database refused a statement.
    #[error("ledger database: {0}")]
    Database(#[source] Cause),
    /// The ledger was opened for reading.
    #[error("ledger is open for reading only")]
    ReadOnly,
    /// The ledger was closed.
    #[error("ledger is closed")]
    Closed,
    /// This instance's lease ran out or was taken by another instance. It must
    /// stop working on payments and join again.
    #[error("this instance lost its lease on the ledger")]
    LeaseLost,
    /// No such payment.
    #[error("unknown payment {0}")]
    UnknownPayment(PaymentId),
    /// No such attempt.
    #[error("unknown attempt {0}")]
    UnknownAttempt(AttemptId),
    /// The wallet has no counter yet; call `ensure_wallet` first.
    #[error("unknown wallet {wallet} on {network}")]
    UnknownWallet {
        /// CAIP-2 network.
        network: String,
        /// The wallet's address.
        wallet: String,
    },
    /// The payment's state does not allow this step (invariant I6).
    #[error("payment {} cannot go from {from} to {to}", payment.id)]
    Transition {
        /// The state it is in.
        from: PaymentState,
        /// The state that was asked for.
        to: PaymentState,
        /// The payment as it is.
        payment: Box<Payment>,
    },
    /// The delivery's state, run or owner does not allow this step.
    #[error("delivery of payment {} cannot go from {from} to {to}", payment.id)]
    DeliveryTransition {
        /// The state it is in.
        from: DeliveryState,
        /// The state that was asked for.
        to: DeliveryState,
        /// The payment as it is.
        payment: Box<Payment>,
    },
    /// The payment belongs to another instance, or to an earlier life of this one.
    #[error("payment {} is owned by {}", payment.id, payment.owner)]
    NotOwner {
        /// The payment as it is.
        payment: Box<Payment>,
    },
    /// Delivery asked for a merchant's payment, or a merchant's answer for a gate payment.
    #[error("payment {} has another origin", payment.id)]
    WrongOrigin {
        /// The payment as it is.
        payment: Box<Payment>,
    },
    /// A further attempt was refused (I10): another one has been recorded since the newest that
    /// its caller knows, or what became of an earlier one is not in the ledger. Read its attempts.
    #[error("payment {} is not signed again beside attempt {newest}", payment.id)]
    AttemptBeside {
        /// The payment as it is.
        payment: Box<Payment>,
        /// Its newest attempt.
        newest: AttemptId,
    },
    /// A further attempt was refused: the payment belongs to the wallet that signed for it first.
    #[error("payment {} belongs to another wallet than {wallet}", payment.id)]
    OtherWallet {
        /// The payment as it is.
        payment: Box<Payment>,
        /// The wallet that was to sign.
        wallet: String,
    },
    /// What the attempt may cost is not reserved for its payments, or not any more (P3): nothing
    /// was signed.
    #[error("payment {} has {reserved} reserved and its attempt may cost {cost}", payment.id)]
    NotReserved {
        /// The payment as it is; of several, the first.
        payment: Box<Payment>,
        /// What is reserved, in wei or lamports.
        reserved: u64,
        /// What the attempt may cost.
        cost: u64,
    },
    /// An attempt is not replaced: another one at its nonce is newer, or what used the nonce is in
    /// the ledger. Read the wallet's attempts.
    #[error("attempt {newest} at this nonce is newer, or the nonce is used")]
    NotReplaceable {
        /// The newest attempt at the nonce.
        newest: AttemptId,
    },
    /// What replaces an attempt may cost more than is reserved for its payments, and the day's
    /// budget for that has no room: nothing was signed.
    #[error("unwedging a nonce may cost {wanted} and {left} is left of the day's budget")]
    UnwedgeSpent {
        /// What it would take of it.
        wanted: u64,
        /// What is left.
        left: u64,
    },
    /// What the operation may cost has no room under a ceiling (P3).
    #[error("no room: {0}")]
    NoRoom(NoRoom),
    /// The signer failed; nothing was reserved.
    #[error("signing: {0}")]
    Sign(String),
    /// The signer (or another part of the operation) panicked; nothing was stored.
    #[error("operation panicked; nothing was stored")]
    Panicked,
    /// An argument cannot be stored.
    #[error("{field} is out of range for the ledger")]
    OutOfRange {
        /// Which argument.
        field: &'static str,
    },
    /// A stored value cannot be read; the database was changed by something else.
    #[error("stored {field} cannot be read")]
    Corrupt {
        /// Which column.
        field: &'static str,
    },
}

impl LedgerError {
    /// Whether the same call may succeed later without anything else changing.
    ///
    /// `CommitUnknown` is not among them: its outcome has to be read first.
    pub fn retry(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The payment as it is, for errors about a payment.
    pub fn payment(&self) -> Option<&Payment> {
        match self {
            Self::Transition { payment, .. }
            | Self::DeliveryTransition { payment, .. }
            | Self::NotOwner { payment }
            | Self::AttemptBeside { payment, .. }
            | Self::OtherWallet { payment, .. }
            | Self::NotReserved { payment, .. }
            | Self::WrongOrigin { payment } => Some(payment),
            _ => None,
        }
    }
}

/// What a driver or a disk says, without what it was given: its `Debug` holds whole
/// rows and its text may hold the URL with the password.
pub(crate) fn cause(error: &dyn std::error::Error) -> Cause {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let more = error.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        below = error.source();
    }
    foreign_words(&words).into()
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection to the database in time".into()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Self::Unavailable(cause(&error)),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            sqlx::Error::Database(inner) if transient(inner.code().as_deref()) => {
                Self::Unavailable(cause(&error))
            }
            _ => Self::Database(cause(&error)),
        }
    }
}

/// PostgreSQL: deadlock, serialization, lock and statement timeout, shutdown, a session
/// that was ended for being idle, a standby, a full disk and other want of resources,
/// an I/O error, connection classes. SQLite: busy and locked, with their extended codes,
/// a full disk and I/O errors.
fn transient(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    let is_one_of = |codes: &[&str]| codes.contains(&code);
    is_one_of(&[
        "40001", "40P01", "55P03", "57014", "25P03", "25P04", "25006", "57P01", "57P02", "57P03", "57P05",
        "58030",
    ]) || (code.len() == 5 && (code.starts_with("08") || code.starts_with("53")))
        || is_one_of(&["5", "6", "261", "517", "262", "13"])
        || is_sqlite_io(code)
}

/// `SQLITE_IOERR`, of any kind.
fn is_sqlite_io(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_repeats_its_url_gives_away_no_password() {
        let words = "postgres://shop:hunter2hunter2@db/books\n2030 ERROR forged";
        let error = LedgerError::from(sqlx::Error::Io(std::io::Error::other(words)));
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("postgres://db") && shown.contains("forged"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.chars().any(char::is_control), "{shown}");
        assert!(error.retry());
    }
    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for passes in
            ["13", "10", "778", "4618", "5", "261", "25006", "53100", "53300", "57P05", "58030", "08006"]
        {
            assert!(transient(Some(passes)), "{passes}");
        }
        for stays in ["23505", "42P01", "1555", "2067", "1", "11", "26"] {
            assert!(!transient(Some(stays)), "{stays}");
        }
    }
}
