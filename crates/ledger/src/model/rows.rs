//! The tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use quittance_protocol::{Amount, IdentifierHash, Network, PaymentId, PaymentKey};
use serde_json::Value as Json;

use crate::SignedBytes;
use crate::error::LedgerError;
use crate::exposure::Funding;
use crate::ledger::Me;
use crate::merchant::NewCheck;
use crate::repeats::Alias;
use crate::token::Recorded;
use crate::types::{
    AttemptId, JournalLine, Merchant, MerchantTotals, Payment, StoredAnswer, TariffRow, Usage,
};

/// Every row there is.
#[derive(Debug, Default)]
pub struct Database {
    pub(super) payments: Vec<Row>,
    pub(super) by_key: BTreeMap<PaymentKey, usize>,
    pub(super) by_id: BTreeMap<PaymentId, usize>,
    pub(super) aliases: BTreeMap<PaymentKey, Alias>,
    /// By scope, payer and name.
    pub(super) identifiers: BTreeMap<(String, String, IdentifierHash), PaymentId>,
    pub(super) wallets: BTreeMap<(Network, String), u64>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) answers: BTreeMap<usize, Answer>,
    /// With when they were stored; they outlive the answers.
    pub(super) usages: BTreeMap<usize, (Usage, i64)>,
    pub(super) merchants: BTreeMap<usize, MerchantRow>,
    pub(super) objects: BTreeMap<String, Object>,
    /// By transaction, and the payment's place in it.
    pub(super) costs: BTreeMap<(Network, String, u64), Cost>,
    pub(super) tariffs: BTreeMap<Network, Vec<TariffRow>>,
    pub(super) instances: BTreeMap<Arc<str>, Instance>,
    pub(super) journal: Vec<(Option<PaymentId>, JournalLine)>,
    pub(super) reservations: BTreeMap<PaymentId, Reservation>,
    pub(super) check_leases: BTreeMap<PaymentKey, CheckLease>,
    /// By network, wallet and nonce.
    pub(super) replaced: BTreeMap<(Network, String, u64), Replaced>,
    /// By network and id: whose, when and how much.
    pub(super) rents: BTreeMap<(Network, String), (String, i64, u64)>,
    /// What was paid for settling, and burnt of it.
    pub(super) payers: BTreeMap<(Network, String), (u64, u64)>,
    pub(super) merchant_list: BTreeMap<String, Merchant>,
    /// Whose, how many tries, and what created it.
    pub(super) merchant_accounts: BTreeMap<(Network, String), (String, u32, Option<String>)>,
    /// By merchant, network and ten minutes.
    pub(super) merchant_sums: BTreeMap<(String, Network, i64), MerchantTotals>,
    /// Who prunes, and until when.
    pub(super) pruner: (String, i64),
    pub(super) defect: Option<Defect>,
}

/// A payment, with the columns that [`Payment`] does not show.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) payment: Payment,
    pub(super) delivery_epoch: Option<i64>,
}

/// A signed transaction.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its number.
    pub id: AttemptId,
    /// The payments in it.
    pub payments: Vec<PaymentId>,
    /// Where.
    pub network: Network,
    /// Whose nonce it uses.
    pub wallet: Option<String>,
    /// Which nonce.
    pub nonce: Option<u64>,
    /// The bytes and their hash.
    pub signed: SignedBytes,
    /// What it replaces.
    pub replaces: Option<AttemptId>,
    /// When it was recorded.
    pub at_ms: i64,
    /// Deleted with the last of its payments, as far as the ledger knows.
    pub pruned: bool,
}

/// A booked cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The payment it was for.
    pub payment: Option<PaymentId>,
    /// That payment's payer.
    pub payer: Option<String>,
    /// In wei or lamports.
    pub native: u128,
    /// In USDC, when a rate was known.
    pub usdc: Option<Amount>,
    /// All of the transaction, of which that is a share.
    pub whole: (u128, Option<Amount>),
    /// Whether it brought a payment in.
    pub earned: bool,
    /// When it was booked.
    pub at_ms: i64,
    /// Out of which allowance, where it was reserved.
    pub funding: Option<Funding>,
}

/// A row of `replaced_slots`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replaced {
    /// What it takes of the unwedging budget, in wei.
    pub native: u64,
    /// When it was replaced last.
    pub at_ms: i64,
    /// Whether it is final which attempt used the nonce: not yet.
    pub open: bool,
}

/// What an attempt may still cost, and takes from its payer.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Where.
    pub network: Network,
    /// Whose.
    pub payer: String,
    /// Where the money comes from.
    pub source: String,
    /// Tokens that must still be there.
    pub amount: Amount,
    /// Until when it can take them.
    pub hold_until_ms: Option<i64>,
    /// The cost bound in USDC.
    pub usdc: Amount,
    /// The same in wei or lamports.
    pub native: u64,
    /// Out of which allowance.
    pub funding: Funding,
    /// Whether code of the payer's decides.
    pub by_code: bool,
    /// The merchant with a row of its own.
    pub merchant: Option<String>,
}

#[derive(Debug)]
pub(super) struct Answer {
    /// `None` once pruned.
    pub(super) kept: Option<StoredAnswer>,
    pub(super) status: u16,
    pub(super) body_bytes: u64,
    pub(super) truncated: bool,
    pub(super) refundable: bool,
    pub(super) at_ms: i64,
}

/// What a foreign server was told.
#[derive(Debug)]
pub(super) struct MerchantRow {
    pub(super) telling: bool,
    pub(super) tellings: u32,
    pub(super) holder: Option<String>,
    pub(super) owner: String,
    pub(super) owner_epoch: i64,
    pub(super) check_until_ms: Option<i64>,
}

/// A row of `check_leases`.
#[derive(Clone, Debug)]
pub struct CheckLease {
    /// What was asked about.
    pub check: NewCheck,
    /// Where the money comes from.
    pub source: String,
    /// Until when it is held.
    pub until_ms: i64,
}

/// A row of `answer_objects`. Without a key it was dropped.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) payment: usize,
    pub(super) run: u32,
    pub(super) key: Option<[u8; 32]>,
    pub(super) bytes: u64,
    pub(super) kept: bool,
    pub(super) instance: Arc<str>,
    pub(super) dropped_at_ms: Option<i64>,
    pub(super) deleted: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Instance {
    pub(super) epoch: i64,
    pub(super) lease_until_ms: i64,
}

/// What the database can be made to get wrong, so that an auditor can show
/// that it would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A payment key can be claimed again (I1).
    ClaimNotUnique,
    /// Recording does not advance the wallet's counter (I2).
    NonceNotReserved,
    /// A verdict can be written over a verdict (I6).
    VerdictOverwritten,
    /// A run is granted while another is under way (P1).
    DoubleRun,
    /// A run that is not the current one may end (P1).
    AnyRunMayFinish,
    /// Runs of a process that died stay `running` (P6).
    RunningForgotten,
    /// What a process that died was telling stays `telling` (P6).
    TellingForgotten,
    /// An instance that was fenced may go on signing (I2, P1).
    NotFenced,
    /// Claims reserve nothing (P3).
    NothingReserved,
    /// Attempts are recorded whatever is reserved for them (P3).
    SignedUnreserved,
    /// What does not divide of a transaction's cost is booked for nobody.
    SharesCutOff,
    /// Further attempts are recorded beside whatever else may land (I10).
    SignedBeside,
    /// An attempt is replaced whatever is reserved for that, and nothing is taken of the budget (P3).
    ReplacedUnreserved,
    /// A further attempt is recorded whichever wallet signs it (I10).
    OtherWalletSigns,
    /// A verdict frees what attempts in flight may still burn (P3).
    ReleasedEarly,
    /// A payer's money may be spent more than once (P3).
    BalanceIgnored,
    /// Pruning takes what has its verdict, the key with it (I1, P5).
    KeyPruned,
    /// Pruning takes what has its verdict, whatever is open of it (P3).
    PrunedOpen,
    /// What another ledger landed is settled as if it had landed from here (P1).
    OwedGranted,
    /// What foreign servers are told to be valid holds no money (P3).
    CheckHoldsNothing,
}

impl Database {
    /// Every payment, oldest first.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.payments.iter().map(|row| &row.payment)
    }

    /// How many payments there are.
    pub fn payment_count(&self) -> usize {
        self.payments.len()
    }

    /// Every alias.
    pub fn aliases(&self) -> impl Iterator<Item = &Alias> {
        self.aliases.values()
    }

    /// Every attempt, oldest first.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Those that a ledger still has.
    pub(super) fn kept_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| !attempt.pruned)
    }

    /// Every cost, by network and transaction.
    pub fn costs(&self) -> impl Iterator<Item = (&Network, &str, &Cost)> {
        self.costs.iter().map(|((network, transaction, _), cost)| (network, transaction.as_str(), cost))
    }

    /// How often success may have been said of a payment.
    pub fn tellings(&self, payment: &PaymentId) -> u32 {
        let row = self.by_id.get(payment).and_then(|at| self.merchants.get(at));
        row.map_or(0, |row| row.tellings)
    }

    /// Every reservation, by payment.
    pub fn reservations(&self) -> impl Iterator<Item = (&PaymentId, &Reservation)> {
        self.reservations.iter()
    }

    /// What replacing at a nonce takes of the budget.
    pub fn replaced(&self, network: &Network, wallet: &str, nonce: u64) -> Option<Replaced> {
        self.replaced.get(&(network.clone(), wallet.to_owned(), nonce)).copied()
    }

    /// What replacing takes of a network's budget, by wallet.
    pub fn replaced_all(&self, network: &Network) -> impl Iterator<Item = (&str, Replaced)> {
        let mine = self.replaced.iter().filter(move |((of, _, _), _)| of == network);
        mine.map(|((_, wallet, _), row)| (wallet.as_str(), *row))
    }

    /// Every lease of a check, by key.
    pub fn check_leases(&self) -> impl Iterator<Item = &CheckLease> {
        self.check_leases.values()
    }

    /// Lives of an instance so far.
    pub fn epoch(&self, instance: &str) -> i64 {
        self.instances.get(instance).map_or(0, |instance| instance.epoch)
    }

    /// The journal of one payment.
    pub fn journal(&self, payment: &PaymentId) -> Vec<JournalLine> {
        let mine = self.journal.iter().filter(|(of, _)| of.as_ref() == Some(payment));
        mine.map(|(_, line)| line.clone()).collect()
    }

    /// Builds a defect in.
    pub fn set_defect(&mut self, defect: Defect) {
        self.defect = Some(defect);
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    pub(super) fn at(&self, id: &PaymentId) -> Result<usize, LedgerError> {
        self.by_id.get(id).copied().ok_or_else(|| LedgerError::UnknownPayment(id.clone()))
    }

    pub(super) fn get(&self, id: &PaymentId) -> Result<&Row, LedgerError> {
        self.at(id).map(|at| &self.payments[at])
    }

    pub(super) fn get_mut(&mut self, id: &PaymentId) -> Result<&mut Row, LedgerError> {
        self.at(id).map(|at| &mut self.payments[at])
    }

    pub(super) fn line(
        &mut self,
        me: &Me,
        now_ms: i64,
        payment: Option<&PaymentId>,
        event: &str,
        detail: Json,
    ) {
        let sequence = self.journal.last().map_or(0, |(_, line)| line.sequence).saturating_add(1);
        let line = JournalLine {
            sequence,
            at_ms: now_ms,
            instance: me.instance.to_string(),
            event: event.to_owned(),
            detail,
        };
        self.journal.push((payment.cloned(), line));
    }
}

impl Attempt {
    pub(super) fn recorded(&self) -> Recorded {
        Recorded {
            attempt: self.id,
            payments: self.payments.clone(),
            network: self.network.clone(),
            wallet: self.wallet.clone(),
            nonce: self.nonce,
            signed: self.signed.clone(),
            replaces: self.replaces,
            at_ms: self.at_ms,
        }
    }
}
