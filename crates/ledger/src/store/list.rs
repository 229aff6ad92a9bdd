//! The list of operations, by who uses them, and the types that it names. One list
//! makes the traits, their implementations, and what a hook is told, so that none
//! of them can drift apart.
//!
//! An operation is a variant of [`Operation`](super::Operation), whether it `reads`
//! or `writes`, and its method; `'a` is the life of what a caller lends.

pub(super) use std::ops::RangeInclusive;

pub(super) use quittance_protocol::{
    Amount, ErrorCode, Evidence, Landing, Network, PaymentId, PaymentKey, SendOutcome,
};

pub(super) use crate::account_rents::OwnAccount;
pub(super) use crate::attempt::NewAttempt;
pub(super) use crate::exposure::{ExposureSums, Reserve};
pub(super) use crate::merchant::{
    CheckTerms, MerchantAnswer, MerchantAnswerEnd, MerchantCheck, NewCheck, NewCheckLease,
};
pub(super) use crate::pruning::{FinishedPolicy, PruneCursor, Pruned};
pub(super) use crate::repeats::{Alias, Known};
pub(super) use crate::token::{ClaimOutcome, Recorded};
pub(super) use crate::types::{
    AccountCursor, AccountFilter, AccountPage, AttemptId, BookedLanding, CostEntry, CostShare, CostShares,
    DeliveryStart, JournalLine, LandingFilter, LeftoverObject, Margin, Merchant, MerchantKey, MerchantTotals,
    NewClaim, OpenWork, Outstanding, Payment, PaymentFilter, PaymentState, PayoutAccount, ReplacedSlot,
    Retention, RunEnd, RunLimits, StatementRow, StoredAnswer, TariffRow, Usage, UsageSum,
};

/// Gives the list to another macro.
macro_rules! operations {
    ($to:ident) => {
        $to! {
            /// Claims, and what is known of a payment before one.
            trait Claims {
                Claim writes claim(new: NewClaim, now_ms: i64) -> ClaimOutcome;
                ClaimWithin writes claim_within(new: NewClaim, wanted: Reserve, now_ms: i64) -> ClaimOutcome;
                PaymentByKey reads payment_by_key(key: &'a PaymentKey) -> Option<Payment>;
                Known reads known(key: &'a PaymentKey) -> Option<Known>;
                ClaimAlias writes claim_alias(new: NewClaim, now_ms: i64) -> Option<ClaimOutcome>;
                Earlier reads earlier(new: &'a NewClaim) -> Option<Payment>;
            }

            /// Wallet nonces and signed bytes (I2).
            trait Attempts {
                EnsureWallet writes ensure_wallet(
                    network: &'a Network,
                    wallet: &'a str,
                    chain_nonce: u64,
                    now_ms: i64,
                ) -> u64;
                Record writes record(attempt: NewAttempt, now_ms: i64) -> Recorded;
                JournalSend writes journal_send(attempt: AttemptId, outcome: &'a SendOutcome, now_ms: i64) -> ();
                RecordedAttempts reads recorded_attempts(payment: &'a PaymentId) -> Vec<Recorded>;
                AttemptsFromNonce reads attempts_from_nonce(
                    network: &'a Network,
                    wallet: &'a str,
                    nonce: u64,
                ) -> Vec<Recorded>;
            }

            /// How payments end (I6).
            trait Verdicts {
                Settle writes settle(payment: &'a PaymentId, landing: &'a Landing, now_ms: i64) -> Payment;
                SettleOwed writes settle_owed(payment: &'a PaymentId, landing: &'a Landing, now_ms: i64) -> Payment;
                Refuse writes refuse(
                    payment: &'a PaymentId,
                    code: ErrorCode,
                    why: &'a str,
                    evidence: Option<&'a Evidence>,
                    now_ms: i64,
                ) -> Payment;
                Expire writes expire(payment: &'a PaymentId, evidence: &'a Evidence, now_ms: i64) -> Payment;
            }

            /// What becomes of landings until they are final, and of transfers that none explains.
            trait Landings {
                Unfinal reads unfinal(network: &'a Network, blocks: RangeInclusive<u64>) -> Vec<Payment>;
                HasUnfinal reads has_unfinal(network: &'a Network) -> bool;
                Finalize writes finalize(landings: Vec<(PaymentId, Landing)>, now_ms: i64) -> u64;
                MoveLanding writes move_landing(payment: &'a PaymentId, landing: &'a Landing, now_ms: i64) -> bool;
                BookReorgedLoss writes book_reorged_loss(
                    payment: &'a PaymentId,
                    evidence: &'a Evidence,
                    now_ms: i64,
                ) -> bool;
                Unexplained reads unexplained(network: &'a Network, transactions: &'a [String]) -> Vec<String>;
            }

            /// Handler runs and their answers (P1, P6).
            trait Deliveries {
                StartDelivery writes start_delivery(
                    payment: &'a PaymentId,
                    limits: RunLimits,
                    now_ms: i64,
                ) -> DeliveryStart;
                FinishDelivery writes finish_delivery(
                    payment: &'a PaymentId,
                    run: u32,
                    answer: &'a StoredAnswer,
                    now_ms: i64,
                ) -> ();
                CreditDelivery writes credit_delivery(
                    payment: &'a PaymentId,
                    run: u32,
                    end: RunEnd,
                    why: &'a str,
                    now_ms: i64,
                ) -> ();
                Running reads running() -> Vec<(PaymentId, u32)>;
                MarkAnswerSent writes mark_answer_sent(payment: &'a PaymentId, now_ms: i64) -> ();
                NotePendingAnswer writes note_pending_answer(payment: &'a PaymentId, now_ms: i64) -> ();
            }

            /// Answers that lie in objects elsewhere: their names and keys.
            trait AnswerObjects {
                BeginAnswerObject writes begin_answer_object(
                    payment: &'a PaymentId,
                    run: u32,
                    name: &'a str,
                    key: [u8; 32],
                    now_ms: i64,
                ) -> ();
                LeftoverObjects reads leftover_objects(now_ms: i64) -> Vec<LeftoverObject>;
                DropAnswerObject writes drop_answer_object(name: &'a str, now_ms: i64) -> bool;
                NoteObjectDeleted writes note_object_deleted(name: &'a str, now_ms: i64) -> ();
                KeptObjectBytes reads kept_object_bytes() -> u64;
                EraseAnswer writes erase_answer(payment: &'a PaymentId, now_ms: i64) -> bool;
            }

            /// What foreign servers are told.
            trait Merchants {
                BeginMerchantAnswer writes begin_merchant_answer(
                    payment: &'a PaymentId,
                    holder: &'a str,
                    tellings_max: u32,
                    now_ms: i64,
                ) -> MerchantAnswer;
                EndMerchantAnswer writes end_merchant_answer(
                    payment: &'a PaymentId,
                    holder: &'a str,
                    end: MerchantAnswerEnd,
                    now_ms: i64,
                ) -> bool;
                LeaseMerchantCheck writes lease_merchant_check(
                    payment: &'a PaymentId,
                    tellings_max: u32,
                    lease_ms: i64,
                    now_ms: i64,
                ) -> MerchantCheck;
                MerchantAnswersBegun reads merchant_answers_begun() -> Vec<(PaymentId, String)>;
                LeaseNewCheck writes lease_new_check(
                    check: NewCheck,
                    wanted: Reserve,
                    terms: CheckTerms,
                    now_ms: i64,
                ) -> NewCheckLease;
            }

            /// Who sells under a name of its own.
            trait MerchantBooks {
                CreateMerchant writes create_merchant(
                    merchant: &'a Merchant,
                    key: &'a MerchantKey,
                    now_ms: i64,
                ) -> bool;
                SetMerchant writes set_merchant(merchant: &'a Merchant, now_ms: i64) -> bool;
                AddMerchantKey writes add_merchant_key(
                    name: &'a str,
                    key: &'a MerchantKey,
                    others_end_at_ms: i64,
                    now_ms: i64,
                ) -> bool;
                CloseMerchant writes close_merchant(name: &'a str, now_ms: i64) -> bool;
                MerchantRoom reads merchant_room(
                    merchant: &'a str,
                    network: &'a Network,
                    amount: Amount,
                    wanted: Reserve,
                    now_ms: i64,
                ) -> ();
                ListMerchants reads list_merchants(now_ms: i64) -> Vec<Merchant>;
                MerchantTotals reads merchant_totals(since_ms: i64) -> Vec<MerchantTotals>;
                BeginPayoutAccount writes begin_payout_account(
                    account: &'a PayoutAccount,
                    now_ms: i64,
                ) -> bool;
                EndPayoutAccount writes end_payout_account(
                    network: &'a Network,
                    account: &'a str,
                    transaction: &'a str,
                    now_ms: i64,
                ) -> bool;
            }

            /// What attempts may cost and did cost (P3, I10).
            trait Reservations {
                Room reads room(network: &'a Network, payer: &'a str, wanted: Reserve, now_ms: i64) -> ();
                Reserve writes reserve(payment: &'a PaymentId, wanted: Reserve, now_ms: i64) -> ();
                Release writes release(payment: &'a PaymentId, now_ms: i64) -> bool;
                ReturnCost writes return_cost(payment: &'a PaymentId, now_ms: i64) -> bool;
                Unaccounted reads unaccounted(network: &'a Network) -> Vec<Payment>;
                BurntUntil reads burnt_until(network: &'a Network, payer: &'a str, now_ms: i64) -> Option<i64>;
                BookCost writes book_cost(entry: CostEntry, now_ms: i64) -> Option<CostShare>;
                BeginOwnAccount writes begin_own_account(account: &'a OwnAccount, now_ms: i64) -> bool;
                ReplacedSlots reads replaced_slots(network: &'a Network) -> Vec<ReplacedSlot>;
                CloseReplaced writes close_replaced(
                    network: &'a Network,
                    wallet: &'a str,
                    nonce: u64,
                    now_ms: i64,
                ) -> bool;
                Unwedged reads unwedged(network: &'a Network, now_ms: i64) -> u64;
            }

            /// What settling is offered for.
            trait Tariffs {
                PutTariff writes put_tariff(
                    network: &'a Network,
                    gas: Amount,
                    detail: serde_json::Value,
                    now_ms: i64,
                ) -> i64;
                TariffsSince reads tariffs_since(network: &'a Network, replaced_after_ms: i64) -> Vec<TariffRow>;
            }

            /// Whose payments are whose: leases, and what a process that died left.
            trait Instances {
                Unfinished reads unfinished() -> Vec<Payment>;
                AdoptOrphans writes adopt_orphans(now_ms: i64) -> Vec<Payment>;
                Ping reads ping() -> ();
                Heartbeat writes heartbeat(now_ms: i64) -> ();
                Rejoin writes rejoin(now_ms: i64) -> ();
            }

            /// What is dropped of what ended.
            trait Pruning {
                Prune writes prune(policy: Retention, now_ms: i64) -> u64;
                PruneFinished writes prune_finished(
                    policy: FinishedPolicy,
                    after: Option<PruneCursor>,
                    now_ms: i64,
                ) -> Pruned;
            }

            /// What is known of single payments; changes nothing.
            trait Entries {
                Payment reads payment(id: &'a PaymentId) -> Option<Payment>;
                Payments reads payments(filter: PaymentFilter) -> Vec<Payment>;
                BookedLandings reads booked_landings(filter: LandingFilter) -> Vec<BookedLanding>;
                Journal reads journal(payment: &'a PaymentId) -> Vec<JournalLine>;
                Costs reads costs(payment: &'a PaymentId) -> Vec<CostEntry>;
                Usage reads usage(payment: &'a PaymentId) -> Option<Usage>;
                Aliases reads aliases(payment: &'a PaymentId) -> Vec<Alias>;
                Answer reads answer(payment: &'a PaymentId) -> Option<StoredAnswer>;
                Accounts reads accounts(
                    filter: &'a AccountFilter,
                    after: Option<&'a AccountCursor>,
                    limit: u32,
                ) -> AccountPage;
                OfTransaction reads of_transaction(network: &'a Network, transaction: &'a str) -> Vec<Payment>;
                OfPayer reads of_payer(network: &'a Network, payer: &'a str) -> Vec<Payment>;
                OfRequest reads of_request(request: &'a str) -> Option<Payment>;
            }

            /// What all of them add up to; changes nothing.
            trait Sums {
                Counts reads counts() -> Vec<(Network, PaymentState, u64)>;
                OpenWork reads open_work(now_ms: i64) -> OpenWork;
                Exposure reads exposure(network: &'a Network, now_ms: i64) -> ExposureSums;
                AccountRents reads account_rents(network: &'a Network, now_ms: i64) -> u64;
                Margins reads margins(since_ms: i64) -> Vec<Margin>;
                CostShares reads cost_shares(since_ms: i64) -> Vec<CostShares>;
                Usages reads usages(since_ms: i64) -> Vec<UsageSum>;
                Statement reads statement(since_ms: i64, until_ms: i64) -> Vec<StatementRow>;
                Outstanding reads outstanding(limits: RunLimits, answers_since_ms: i64) -> Vec<Outstanding>;
            }
        }
    };
}
pub(super) use operations;
