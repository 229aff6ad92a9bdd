//! Defects built in on purpose, each at a port: in the database, in what a
//! chain shows, in what a store answers; or in a wallet's lane, between what is
//! decided and what is done. An auditor that stays silent about one of them is
//! blind in that place.

use quittance_facilitator::Defect as LaneDefect;
use quittance_ledger::model::Defect;

macro_rules! canaries {
    ($($name:ident $text:literal $breaks:literal $what:literal;)*) => {
        /// One deliberate defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Canary { $(#[doc = $what] $name,)* }

        impl Canary {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The invariant or promise that it breaks.
            pub fn breaks(self) -> &'static str {
                match self { $(Self::$name => $breaks,)* }
            }

            /// What it does.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

canaries! {
    ClaimNotUnique "claim-not-unique" "I1" "the ledger lets a payment key be claimed twice";
    SendBeforeRecord "send-before-record" "I2" "bytes reach a node while they are signed, before they are committed";
    NonceNotReserved "nonce-not-reserved" "I2" "recording does not advance the wallet's counter";
    SlotLeftOpen "slot-left-open" "I2" "a slot whose payments are over is not filled";
    RefusalIsVerdict "refusal-is-verdict" "I3" "bytes that a node refused count as a payment that cannot land";
    UsedMeansPaid "used-means-paid" "I4" "a used authorization counts as a payment, cancelled ones too";
    ProcessedMeansPaid "processed-means-paid" "I4" "a Solana transaction counts before it is confirmed";
    StaleHeadTrusted "stale-head-trusted" "I4" "an endpoint whose head stands still is believed like any other";
    EarlierLandingGranted "earlier-landing-granted" "I4" "what a stranger landed before the claim counts as the claim's";
    ExpiredAtHead "expired-at-head" "I5" "expiry is judged at the clock instead of at a finalized block";
    NullIsHistory "null-is-history" "I5" "an endpoint without a transaction history proves that a Solana transaction never landed";
    FailedStaysOpen "failed-stays-open" "I5" "a Solana transaction that failed is never judged expired";
    VerdictOverwritten "verdict-overwritten" "I6" "the ledger writes a verdict over a verdict";
    LandingsForgotten "landings-forgotten" "I6" "settled payments are not watched until they are final";
    NoSecondOpinion "no-second-opinion" "I7" "one endpoint's word is enough to expire a payment";
    NoFeeCap "no-fee-cap" "I8" "the signer ignores the operator's fee cap";
    OuterStatus "outer-status" "I9" "a transaction's own status counts instead of its logs";
    BatchOuterStatus "batch-outer-status" "I9" "a transaction of ours for several counts for each of them because it succeeded";
    BatchItemTwice "batch-item-twice" "I10" "a payment of a transaction for several is signed again beside it";
    BatchBeyondReservation "batch-beyond-reservation" "P3" "a transaction for several may cost more than is reserved for all of them";
    SharesCutOff "shares-cut-off" "P3" "the shares of a transaction's cost do not add up to it";
    CostUnbounded "cost-unbounded" "I10" "the signer ignores what the payment was charged";
    TwoAlive "two-alive" "I10" "a second attempt is signed beside one that may still land";
    ReplacedBeyondCap "replaced-beyond-cap" "I8" "what replaces an attempt is signed above the operator's fee cap";
    ReplacedUnreserved "replaced-unreserved" "P3" "what replaces an attempt may cost what nobody reserved";
    SecondSlot "second-slot" "I10" "a payment is signed at another nonce while the first one is replaced";
    NothingInstead "nothing-instead" "I2" "what does nothing takes the place of a payment that can still land";
    OldForgotten "old-forgotten" "P2" "once an attempt is replaced nobody watches the old one";
    AttemptsOfTwo "attempts-of-two-wallets" "I10" "a second attempt of a payment is made with another wallet, beside the first";
    DoubleRun "double-run" "P1" "the ledger grants a run while another is under way";
    AnyRunMayFinish "any-run-may-finish" "P1" "the ledger lets a run end that is not the current one";
    ReplayForever "replay-forever" "P1" "the replay window never begins, so whoever reads the chain gets the answer";
    MerchantToldAgain "merchant-told-again" "P1" "each time a foreign server asks is the first time";
    MerchantToldByWord "merchant-told-by-word" "P1" "a foreign server hears success again if its customer sent an identifier or it was told to come back";
    CheckNotLeased "check-not-leased" "P1" "each time a foreign server asks, a settled payment is valid";
    StatusesForgotten "statuses-forgotten" "P2" "a Solana landing that left the nodes' status cache is not looked for in their history";
    RefusalEndsLook "refusal-ends-look" "P2" "a method that one endpoint refuses is asked of no other";
    LogRangeGivesUp "log-range-gives-up" "P2" "logs further back than an endpoint shows at once are not searched";
    RetiredForgotten "retired-forgotten" "P2" "a retired network is left out, with what was begun on it";
    NothingResumed "nothing-resumed" "P2" "processes forget unfinished payments, their own and those of the dead";
    NeverSent "never-sent" "P2" "bytes are recorded, and every third of them is never sent";
    LaneForgotten "lane-forgotten" "P2" "nobody uses up the nonces of finished payments";
    CeilingsForgotten "ceilings-forgotten" "P3" "a payer's attempts that earned nothing are not counted";
    NothingReserved "nothing-reserved" "P3" "claims reserve nothing of what their attempts may burn";
    SignedUnreserved "signed-unreserved" "P3" "the ledger records an attempt whatever is reserved for it by then";
    ReleasedEarly "released-early" "P3" "a verdict frees what an attempt in flight may still burn";
    FreedInFlight "freed-in-flight" "P3" "what bytes may burn is given back while they may land";
    HoldOutlives "hold-outlives" "P3" "what a Solana payment may cost is reserved until a newer blockhash than the payer's has ended";
    BalanceIgnored "balance-ignored" "P3" "a payer's money is spent as often as the payer signs";
    CheckHoldsNothing "check-holds-nothing" "P3" "a payer's money is called valid as often as the payer signs";
    CodeLetThrough "code-let-through" "P3" "payers whose own code decides are taken for others";
    CostsForgotten "costs-forgotten" "P3" "nobody asks what became of attempts whose driver is gone";
    EmptyWalletSells "empty-wallet-sells" "P3" "nobody looks whether the wallet can pay the next settlement";
    LowWalletSells "low-wallet-sells" "P3" "nobody looks whether a wallet holds little while another one has plenty";
    RetiredWalletSells "retired-wallet-sells" "P3" "a wallet that the operator has retired goes on taking new payments";
    StuckLaneSells "stuck-lane-sells" "P3" "nobody looks whether the wallet's next transaction offers what blocks ask for";
    ClosedPayoutSells "closed-payout-sells" "P3" "nobody looks whether the token or the recipient takes payments";
    OfferAsks "offer-asks" "P4" "the price of an offer is looked up through a port";
    StaleReads "stale-reads" "P5" "the ledger is read from a replica that does not know what is under way";
    LeaseByHostClock "lease-by-host-clock" "P1" "leases are judged by each host's own clock";
    ConfigurationFirst "configuration-first" "P5" "a payment on record is held against what is configured now";
    ForeignLandingGranted "foreign-landing-granted" "P1" "what another ledger landed at a shared address is granted here too";
    KeyPruned "key-pruned" "P5" "what has its verdict is pruned, its key with it";
    PrunedOpen "pruned-open" "P3" "what has its verdict is pruned whatever is open of it, its attempts in flight too";
    RunningForgotten "running-forgotten" "P6" "runs that died with their process are not credited";
    TellingForgotten "telling-forgotten" "P6" "what a process that died was telling stays under way for ever";
    ReaderCounts "reader-counts" "P6" "a slow reader uses up the handler's time: a completed run is credited and runs again";
    CrashesFree "crashes-free" "P6" "a handler that kills its process may do so for ever";
    CreditsForgotten "credits-forgotten" "P6" "a failed run is not credited";
    AliasesOff "aliases-off" "P7" "a fresh authorization is never answered from an earlier payment";
    PendingUnnoted "pending-unnoted" "P7" "nobody writes down that a payment was told pending";
}

impl Canary {
    /// Violations that show it. A defect of one rule may show at another's place:
    /// what is never resumed is a payment that does not end.
    pub fn signs(self) -> &'static [&'static str] {
        match self {
            Self::FailedStaysOpen | Self::LaneForgotten | Self::SlotLeftOpen => &["P2"],
            Self::RetiredForgotten => &["P2", "P5"],
            // Its answer is what the run that took its place is told to be.
            Self::AnyRunMayFinish => &["P1", "P6"],
            Self::ExpiredAtHead | Self::NullIsHistory => &["I5", "I7"],
            Self::NonceNotReserved => &["I2", "I6"],
            Self::CreditsForgotten => &["P6"],
            Self::KeyPruned => &["I1", "P5"],
            _ => match self.breaks() {
                "I1" => &["I1"],
                "I2" => &["I2"],
                "I3" => &["I3"],
                "I4" => &["I4"],
                "I5" => &["I5"],
                "I6" => &["I6"],
                "I7" => &["I7"],
                "I8" => &["I8"],
                "I9" => &["I9"],
                "I10" => &["I10"],
                "P1" => &["P1"],
                "P2" => &["P2"],
                "P3" => &["P3"],
                "P4" => &["P4"],
                "P5" => &["P5"],
                "P7" => &["P7"],
                _ => &["P6"],
            },
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|canary| canary.name() == name)
    }

    /// What a wallet's lane gets wrong for it.
    pub(crate) fn lane_defect(self) -> Option<LaneDefect> {
        match self {
            Self::SlotLeftOpen => Some(LaneDefect::SlotLeftOpen),
            Self::TwoAlive => Some(LaneDefect::TwoAlive),
            Self::NeverSent => Some(LaneDefect::NeverSent),
            Self::FreedInFlight => Some(LaneDefect::FreedInFlight),
            Self::AttemptsOfTwo => Some(LaneDefect::OtherWallet),
            Self::SecondSlot => Some(LaneDefect::SecondSlot),
            Self::NothingInstead => Some(LaneDefect::NothingInstead),
            Self::OldForgotten => Some(LaneDefect::OldForgotten),
            Self::BatchItemTwice => Some(LaneDefect::BatchItemTwice),
            _ => None,
        }
    }

    /// What the database gets wrong for it.
    pub(crate) fn defect(self) -> Option<Defect> {
        match self {
            Self::ClaimNotUnique => Some(Defect::ClaimNotUnique),
            Self::NonceNotReserved => Some(Defect::NonceNotReserved),
            Self::VerdictOverwritten => Some(Defect::VerdictOverwritten),
            Self::DoubleRun => Some(Defect::DoubleRun),
            Self::AnyRunMayFinish => Some(Defect::AnyRunMayFinish),
            Self::RunningForgotten => Some(Defect::RunningForgotten),
            Self::TellingForgotten => Some(Defect::TellingForgotten),
            Self::NothingReserved => Some(Defect::NothingReserved),
            Self::SignedUnreserved => Some(Defect::SignedUnreserved),
            // A lane that signs twice is stopped by the ledger otherwise.
            Self::TwoAlive | Self::SecondSlot | Self::BatchItemTwice => Some(Defect::SignedBeside),
            Self::ReplacedUnreserved => Some(Defect::ReplacedUnreserved),
            Self::SharesCutOff => Some(Defect::SharesCutOff),
            Self::AttemptsOfTwo => Some(Defect::OtherWalletSigns),
            Self::ReleasedEarly => Some(Defect::ReleasedEarly),
            Self::BalanceIgnored => Some(Defect::BalanceIgnored),
            Self::KeyPruned => Some(Defect::KeyPruned),
            Self::PrunedOpen => Some(Defect::PrunedOpen),
            Self::ForeignLandingGranted => Some(Defect::OwedGranted),
            Self::CheckHoldsNothing => Some(Defect::CheckHoldsNothing),
            _ => None,
        }
    }
}
