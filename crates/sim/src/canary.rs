//! Defects built in on purpose. An auditor that stays silent about one of them
//! is blind in that place.

use quittance_facilitator::engine::{Alert, Effect, Event, Phase, State, Verdict, step};
use quittance_protocol::{ErrorCode, Evidence, SendOutcome};

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
    SendBeforeRecord "send-before-record" "I2" "the driver hands bytes to a node before they are committed";
    NonceNotReserved "nonce-not-reserved" "I2" "recording does not advance the wallet's counter";
    RefusalIsVerdict "refusal-is-verdict" "I3" "the engine ends a payment when a node refuses its bytes";
    UsedMeansPaid "used-means-paid" "I4" "a used authorization counts as a payment, cancelled ones too";
    ProcessedMeansPaid "processed-means-paid" "I4" "a Solana transaction counts before it is confirmed";
    ExpiredAtHead "expired-at-head" "I5" "expiry is judged at the clock instead of at a finalized block";
    FailedStaysOpen "failed-stays-open" "I5" "a Solana transaction that failed is never judged expired";
    RevertIsRefusal "revert-is-refusal" "I5" "the engine refuses a payment when a transaction of ours failed";
    VerdictOverwritten "verdict-overwritten" "I6" "the ledger writes a verdict over a verdict";
    SilentContradiction "silent-contradiction" "I6" "the engine swallows evidence against a verdict";
    NoSecondOpinion "no-second-opinion" "I7" "one endpoint's word is enough to expire a payment";
    NoFeeCap "no-fee-cap" "I8" "the signer ignores the operator's fee cap";
    OuterStatus "outer-status" "I9" "a transaction's own status counts instead of its logs";
    SignWithoutAsking "sign-without-asking" "I10" "the engine signs a claim that it found again without asking the chain";
    DoubleRun "double-run" "P1" "a run is granted while another is under way";
    AnyRunMayFinish "any-run-may-finish" "P1" "the ledger lets a run end that is not the current one";
    NothingResumed "nothing-resumed" "P2" "a restarted process forgets unfinished payments";
    NeverRebroadcast "never-rebroadcast" "P2" "the engine forgets the pause before the next broadcast, and boot does not send";
    EndlessAttempts "endless-attempts" "P3" "the engine signs again after every failure of ours";
    OfferWhilePending "offer-while-pending" "P5" "a fresh 402 is given while the outcome is unknown";
    RunningForgotten "running-forgotten" "P6" "runs that died with their process are not credited";
}

impl Canary {
    /// Violations that show it. A defect of one rule may show at another's place:
    /// what is never resumed is a payment that does not end.
    pub fn signs(self) -> &'static [&'static str] {
        match self {
            Self::FailedStaysOpen => &["P2"],
            Self::ExpiredAtHead => &["I5", "I7"],
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
                "P5" => &["P5"],
                _ => &["P6"],
            },
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|canary| canary.name() == name)
    }
}

/// The real [`step`], or the real one with one defect in front of or behind it.
pub fn advance(canary: Option<Canary>, state: &mut State, event: Event) -> Vec<Effect> {
    let refusal = |reason: &str, evidence| Verdict::Refused {
        code: ErrorCode::UnexpectedSettleError,
        reason: reason.to_owned(),
        evidence,
    };
    match (canary, &event) {
        (Some(Canary::RefusalIsVerdict), Event::Sent(SendOutcome::Refused { reason }))
            if state.committing.is_none() && !state.is_done() =>
        {
            let verdict = refusal(reason, None);
            state.committing = Some(verdict.clone());
            vec![Effect::Commit(verdict)]
        }
        (Some(Canary::RevertIsRefusal), Event::Seen(Evidence::Reverted(_)))
            if state.committing.is_none() && !state.is_done() =>
        {
            let Event::Seen(evidence) = event else { return Vec::new() };
            let verdict = refusal("reverted", Some(evidence));
            state.committing = Some(verdict.clone());
            vec![Effect::Commit(verdict)]
        }
        (Some(Canary::EndlessAttempts), Event::Seen(Evidence::Reverted(_))) if !state.is_done() => {
            let mut effects = step(state, event);
            if !effects.is_empty() && !effects.contains(&Effect::Recheck) {
                effects.push(Effect::Record);
            }
            effects
        }
        (Some(Canary::SignWithoutAsking), Event::Found) if state.phase == Phase::Claimed => {
            vec![Effect::Watch, Effect::Record]
        }
        (Some(Canary::NeverRebroadcast), Event::Found) if state.phase == Phase::Recorded => {
            vec![Effect::Watch]
        }
        (Some(Canary::NeverRebroadcast), Event::Sent(_)) => {
            let effects = step(state, event);
            effects.into_iter().filter(|effect| !matches!(effect, Effect::Wake(_))).collect()
        }
        (Some(Canary::SilentContradiction), _) => {
            let effects = step(state, event);
            effects.into_iter().filter(|e| !matches!(e, Effect::Alert(Alert::Contradiction(_)))).collect()
        }
        _ => step(state, event),
    }
}
