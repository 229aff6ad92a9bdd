//! Times, amounts and names, for people.

use quittance_ledger::{DeliveryState, Finality, Origin, Payment, PaymentState};
use quittance_protocol::{Amount, Network};
use serde_json::Value;

/// A name longer than this is shown by its ends.
const NAME_CHARS_MAX: usize = 22;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A hash or an address by its ends.
pub(super) fn short(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let (Some(head), Some(tail)) = (letters.get(..10), letters.len().checked_sub(6)) else {
        return name.to_owned();
    };
    match letters.get(tail..) {
        Some(end) if letters.len() > NAME_CHARS_MAX => {
            format!("{}…{}", head.iter().collect::<String>(), end.iter().collect::<String>())
        }
        _ => name.to_owned(),
    }
}

/// `4 s`, `3 min`, `2 h`, `5 d`.
pub(super) fn span(ms: i64) -> String {
    match ms.max(0) {
        ms if ms < SECOND_MS => format!("{ms} ms"),
        ms if ms < 2 * MINUTE_MS => format!("{} s", ms / SECOND_MS),
        ms if ms < 2 * HOUR_MS => format!("{} min", ms / MINUTE_MS),
        ms if ms < 2 * DAY_MS => format!("{} h", ms / HOUR_MS),
        ms => format!("{} d", ms / DAY_MS),
    }
}

/// Since then, in whole seconds: what changes more often is read by nobody.
pub(super) fn ago(now_ms: i64, at_ms: i64) -> String {
    match now_ms.saturating_sub(at_ms).max(0) {
        ms if ms < SECOND_MS => "now".to_owned(),
        ms => format!("{} ago", span(ms)),
    }
}

/// `2026-11-30 15:04:05.123`, UTC.
pub(super) fn moment(at_ms: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(SECOND_MS)) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at_ms.rem_euclid(SECOND_MS)
        ),
        Err(_) => at_ms.to_string(),
    }
}

/// `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Smallest units as whole coins, at most so many places of them.
pub(super) fn coins(native: &str, decimals: u32, places_max: usize) -> String {
    let places = usize::try_from(decimals).unwrap_or(0);
    let padded = format!("{native:0>width$}", width = places.saturating_add(1));
    let (whole, rest) = padded.split_at_checked(padded.len().saturating_sub(places)).unwrap_or((&padded, ""));
    let rest: String = rest.chars().take(places_max).collect();
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
}

/// A rate with two places, cut.
pub(super) fn dollars(rate: &str) -> String {
    match rate.split_once('.') {
        Some((whole, rest)) => format!("{whole}.{}", rest.chars().take(2).collect::<String>()),
        None => rate.to_owned(),
    }
}

/// What networks are called that everybody knows, and the operator's own name of others.
pub(super) fn network(network: &Network, own: Option<&String>) -> String {
    match network.as_str() {
        Network::BASE => "Base".to_owned(),
        Network::BASE_SEPOLIA => "Base Sepolia".to_owned(),
        Network::SOLANA => "Solana".to_owned(),
        Network::SOLANA_DEVNET => "Solana devnet".to_owned(),
        other => own.cloned().unwrap_or_else(|| other.to_owned()),
    }
}

/// How far a payment is: a colour's name and a word.
pub(super) fn stage(payment: &Payment) -> (&'static str, &'static str) {
    if payment.finality == Some(Finality::ReorgedLoss) {
        return ("bad", "lost by reorganisation");
    }
    match (payment.state, payment.delivery) {
        (PaymentState::Claimed, _) => ("wait", "claimed"),
        (PaymentState::Recorded, _) => ("wait", "sent"),
        (PaymentState::Refused, _) => ("bad", "refused"),
        (PaymentState::Expired, _) => ("idle", "expired"),
        (PaymentState::Settled, DeliveryState::None) => {
            match (&payment.origin, payment.merchant_answer_at_ms) {
                (Origin::Merchant(_), Some(_)) => ("good", "told"),
                _ => ("good", "settled"),
            }
        }
        (PaymentState::Settled, DeliveryState::Running) => ("wait", "running"),
        (PaymentState::Settled, DeliveryState::Delivered) => ("good", "delivered"),
        (PaymentState::Settled, DeliveryState::DeliveredInPart) => ("bad", "delivered in part"),
        (PaymentState::Settled, DeliveryState::Credited) => ("warn", "credit"),
        (PaymentState::Settled, DeliveryState::Owed) => ("bad", "owed"),
    }
}

/// Why a network is closed.
pub(super) fn closed(reason: &str) -> &'static str {
    match reason {
        "no_rate" => "no fresh exchange rate",
        "not_connected" => "no node has answered since the start",
        "no_tariff" => "no fresh tariff: the chain or the ledger does not answer",
        "above_ceiling" => "settling is dearer than quote.gas_ceiling_usdc",
        "spent_ceiling" => "settling cost all it may within a day",
        "in_flight_ceiling" => "attempts in flight fill the ceilings, and none ends",
        "bound_above_ceiling" => "one settlement may cost more than a ceiling",
        "retired" => "retired: it finishes what it began",
        "wallet_empty" => "no wallet can pay the next settlement",
        "lane_under_base_fee" => "a transaction offers less than blocks ask for",
        "account_missing" => "the recipient's account is being created",
        "accounts_spent" => "creating accounts cost all it may on this UTC day",
        "token_paused" => "the token is paused",
        "token_changed" => "the token changed: what is sent may not arrive whole",
        "pay_to_refuses" => "the recipient's account takes no plain transfer",
        "pay_to_blacklisted" => "the recipient is blacklisted",
        "pay_to_frozen" => "the recipient's account is frozen",
        "pay_to_closed" => "the recipient's account is closed",
        "facilitator_away" => "the facilitator does not answer",
        "facilitator_refuses" => "the facilitator does not settle what is sold",
        _ => "closed",
    }
}

/// One line of the journal: what happened, and its particulars.
pub(super) fn event(event: &str, detail: &Value, coin: &(String, u32)) -> (String, String) {
    let word = |field: &str| match &detail[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let because = |text: String| match word("reason") {
        reason if reason.is_empty() => text,
        reason if text.is_empty() => reason,
        reason => format!("{text}: {reason}"),
    };
    let said = |title: &str, words: String| (title.to_owned(), words);
    match event {
        "claimed" => said("Claimed", format!("for {}", word("resource"))),
        "reserved" => {
            said("Cost reserved", format!("at most {} USDC, as {}", usdc(&detail["usdc"]), word("funding")))
        }

        "released" => said("Reservation released", String::new()),
        "cost_returned" => said("Reservation given back", "nothing was signed for it".to_owned()),
        "recorded" => said("Signed and recorded", signed(detail, word("attempt"))),
        "broadcast" => {
            let title = match word("outcome").as_str() {
                "accepted" => "Sent: a node took it",
                "refused" => "Sent: a node refused it",
                _ => "Sent: outcome unknown",
            };
            said(title, because(format!("attempt {}", word("attempt"))))
        }
        "settled" if detail["owed"] == true => {
            said("Settled by another ledger", format!("owed to the payer; {}", word("transaction")))
        }
        "settled" => said("Settled", format!("landed as {}", short(&word("transaction")))),
        "refused" => said("Refused", because(word("code"))),
        "expired" => said("Expired", "its deadline is final and nothing landed".to_owned()),
        "finalized" => said("Final", format!("in block {}", word("block"))),
        "moved" => said("Landing moved", format!("to {} in block {}", word("transaction"), word("block"))),
        "reorged_loss" => said("Lost by reorganisation", "the grant stands".to_owned()),
        "cost" => said("Cost booked", cost(detail, coin)),
        "running" => said("Handler runs", format!("run {}", word("run"))),
        "credited" => said("Run ended without an answer", because(format!("run {}", word("run")))),
        "credit_exhausted" => {
            said("Credit used up", format!("{} runs failed, {} crashed", word("failed"), word("crashed")))
        }
        "delivered" | "delivered_in_part" => {
            said("Answer made", format!("status {}, {} bytes", word("status"), word("body_bytes")))
        }
        "answer_sent" => said("Answer reached its client", String::new()),
        "answer_erased" => said("Answer erased", String::new()),
        "pending_answered" => said("Told that it is pending", String::new()),
        "merchant_check" => said("Merchant heard that it is valid", String::new()),
        "merchant_telling" => said("Merchant is being told", format!("telling {}", word("telling"))),
        "merchant_answered" => said("Merchant was told", String::new()),
        "merchant_answer_lost" => said("The telling was lost", String::new()),
        "merchant_answer_unsaid" => said("The telling never went out", String::new()),
        "aliased" => said("Repeated with a fresh authorization", "answered from this payment".to_owned()),
        "alias_released" => said("Repetition let go", String::new()),
        "restored" => said("Ledger put back from a copy", format!("{} withheld", word("withheld"))),
        "adopted" => said("Taken over by another process", String::new()),
        other => (other.replace('_', " "), plain(detail)),
    }
}

fn signed(detail: &Value, attempt: String) -> String {
    let mut text = format!("attempt {attempt}");
    if let (Some(wallet), Some(nonce)) = (detail["wallet"].as_str(), detail["nonce"].as_u64()) {
        text.push_str(&format!(", nonce {nonce} of {}", short(wallet)));
    }
    if let Some(replaced) = detail["replaces"].as_u64() {
        text.push_str(&format!(", instead of attempt {replaced}"));
    }
    if let Some(transaction) = detail["transaction"].as_str() {
        text.push_str(&format!(", {transaction}"));
    }
    text
}

/// Atomic USDC in a line of the journal.
fn usdc(atomic: &Value) -> String {
    let amount = atomic.as_str().and_then(|text| text.parse().ok()).map(Amount::new);
    amount.map_or_else(|| "an unknown amount of".to_owned(), Amount::to_usdc)
}

fn cost(detail: &Value, (coin, decimals): &(String, u32)) -> String {
    let native = detail["native"].as_str().unwrap_or_default();
    let native = coins(native, *decimals, usize::try_from(*decimals).unwrap_or(0));
    let worth = match &detail["usdc"] {
        Value::Null => "no rate was known".to_owned(),
        atomic => format!("{} USDC", usdc(atomic)),
    };
    let earned = if detail["earned"] == true { "" } else { "; it earned nothing" };
    format!("{native} {coin}, {worth}{earned}")
}

/// Particulars of a line that has no words of its own.
fn plain(detail: &Value) -> String {
    let pairs = detail.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), short);
    pairs.map(|(name, value)| format!("{name} {}", text(value))).collect::<Vec<_>>().join(", ")
}
