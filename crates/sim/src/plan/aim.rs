//! Seeds that aim at a cell of the coverage table.

use quittance_ledger::PaymentState;

use crate::base::Act;
use crate::plan::{Broadcast, Crash, Net};
use crate::stats::Kind;
use crate::stats::cells;

/// How a seed makes one cell of the coverage table likely, for its first
/// payment. The process that gets to the place first is held there, or stands
/// still there, until the payment is in the state; then it dies.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// In which state.
    pub state: Option<PaymentState>,
    /// Where.
    pub place: Crash,
    /// After which answer to the newest broadcast.
    pub sent: Option<Kind>,
    /// On which chain, if it matters.
    pub net: Option<Net>,
    /// What becomes of every broadcast.
    pub fate: Option<Broadcast>,
    /// What a stranger does with the authorization.
    pub stranger: Option<Act>,
    /// How long after the payment.
    pub stranger_after_ms: u64,
    /// How long the authorization is good.
    pub life_ms: Option<u64>,
    /// Nothing is signed for it.
    pub unsigned: bool,
    /// A node that knows a transaction says its hash again.
    pub echo: bool,
    /// The recording's answer is lost and cannot be read, so that a verdict comes
    /// before any broadcast.
    pub lost_record: bool,
    /// Nodes deny that the authorization is used when they are asked before signing.
    pub blind: bool,
    /// Another process stands still with evidence until this one has recorded.
    pub two_stage: bool,
    /// Whether the whole process stands still, so that others take over.
    pub standstill: bool,
}

impl Aim {
    /// All cells take turns.
    pub(crate) fn of_number(number: u64) -> Self {
        let cells = cells::possible();
        let at = usize::try_from(number % (cells.len().max(1) as u64)).unwrap_or(0);
        Self::at(cells[at])
    }

    fn at((state, place, sent): crate::stats::Cell) -> Self {
        let lands = state == Some(PaymentState::Settled);
        let fate = match (sent, lands) {
            (None, _) => None,
            (Some(Kind::Accepted), true) => Some(Broadcast::Taken),
            (Some(Kind::Accepted), false) => Some(Broadcast::FalselyTaken),
            (Some(Kind::Unknown), true) => Some(Broadcast::AnswerLost),
            (Some(Kind::Unknown), false) => Some(Broadcast::RequestLost),
            (Some(Kind::Refused), _) => Some(Broadcast::Refused),
        };
        let by_stranger = lands && matches!(sent, None | Some(Kind::Refused));
        let stranger = match state {
            Some(PaymentState::Refused) => Some(Act::Cancel),
            _ if by_stranger => Some(Act::Pay),
            _ => None,
        };
        // Where others must have signed first, the stranger waits for them.
        let patient = matches!(place, Crash::AfterClaim | Crash::BeforeRecord) && sent.is_some();
        // Evidence for what is not signed yet, and then it is signed all the same.
        let blind = place == Crash::BeforeVerdict && state == Some(PaymentState::Recorded) && sent.is_none();
        let two_stage = place == Crash::AfterRecord && state == Some(PaymentState::Settled) && sent.is_none();
        let blind = blind || two_stage;
        let stranger = if blind { Some(Act::Pay) } else { stranger };
        let expires = state == Some(PaymentState::Expired);
        let ended = state.is_some_and(PaymentState::is_final);
        let lost_record = place == Crash::BeforeSend && ended && sent.is_none();
        let elsewhere = ended || (state == Some(PaymentState::Recorded) && sent.is_some());
        // Where the driver itself waits for the call, only others can go on.
        let standstill = match place {
            Crash::AfterClaim => state != Some(PaymentState::Claimed),
            Crash::BeforeRecord => state != Some(PaymentState::Claimed),
            Crash::AfterRecord | Crash::BeforeSend => elsewhere && !lost_record,
            Crash::AfterSend | Crash::BeforeVerdict => ended,
            _ => false,
        };
        Self {
            state,
            place,
            sent,
            net: (stranger.is_some() || lost_record).then_some(Net::Base),
            fate,
            stranger,
            stranger_after_ms: if patient { 22_000 } else { 4_000 },
            life_ms: expires.then_some(22_000),
            unsigned: sent.is_none() && ended && !lost_record && !two_stage,
            two_stage,
            lost_record,
            echo: sent == Some(Kind::Accepted),
            blind,
            standstill: (standstill || blind) && !two_stage,
        }
    }
}
