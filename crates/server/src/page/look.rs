//! What was typed into the search box, and what it may name.

use quittance_protocol::{Family, Network, PaymentId};

/// Longest text that is looked for.
const SOUGHT_CHARS_MAX: usize = 128;

/// How a payment's name begins.
const PAYMENT: &str = "pay_";

/// One look at the ledger, by an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Payment(PaymentId),
    Request(String),
    Transaction(Network, String),
    Payer(Network, String),
}

/// `q` of a query string.
pub(super) fn sought(query: &str) -> String {
    let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(query);
    let pairs = pairs.map(|pairs| pairs.into_inner()).unwrap_or_default();
    let typed = pairs.into_iter().find(|(name, _)| name == "q").map(|(_, value)| value).unwrap_or_default();
    typed.trim().chars().filter(|letter| !letter.is_control()).take(SOUGHT_CHARS_MAX).collect()
}

/// What a text may name, on these networks.
pub(super) fn looks<'a>(sought: &str, networks: impl Iterator<Item = &'a Network>) -> Vec<Look> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if sought.is_empty() || !sought.bytes().all(is_word) {
        return Vec::new();
    }
    if sought.starts_with(PAYMENT) {
        return vec![Look::Payment(PaymentId::from_stored(sought))];
    }
    let mut looks = vec![Look::Request(sought.to_owned())];
    for network in networks {
        match network.family() {
            Family::Eip155(_) => looks.extend(on_evm(network, sought)),
            Family::Solana => looks.extend(on_solana(network, sought)),
        }
    }
    looks
}

fn on_evm(network: &Network, sought: &str) -> Option<Look> {
    let digits = sought.strip_prefix("0x").or_else(|| sought.strip_prefix("0X"))?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        64 => Some(Look::Transaction(network.clone(), format!("0x{}", digits.to_ascii_lowercase()))),
        // Written as the ledger has it, whatever its letters' case.
        40 => quittance_evm::stored_address(&format!("0x{}", digits.to_ascii_lowercase()))
            .map(|payer| Look::Payer(network.clone(), payer)),
        _ => None,
    }
}

fn on_solana(network: &Network, sought: &str) -> Option<Look> {
    match sought.len() {
        // Base58 of 64 bytes, and of 32.
        64..=88 => Some(Look::Transaction(network.clone(), sought.to_owned())),
        32..=44 => Some(Look::Payer(network.clone(), sought.to_owned())),
        _ => None,
    }
}
