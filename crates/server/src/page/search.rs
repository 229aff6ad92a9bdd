//! What a search found.

use maud::{Markup, html};
use quittance_ledger::Payment;

use super::layout::{self, Frame};
use super::overview;

/// Longest text that is said back.
const SHOWN_CHARS_MAX: usize = 128;

/// Several payments.
pub(super) fn list(sought: &str, found: &[Payment], now_ms: i64) -> Markup {
    let frame = Frame { title: "Search", sought, from: None };
    layout::frame(
        &frame,
        &html! {
            section {
                h2 { (found.len()) " payments of " bdi { (sought) } }
                p .note { "The newest that are settled or under way, and what was refused or expired among the last few hundred." }
                (overview::payments(found, now_ms))
            }
        },
    )
}

/// None.
pub(super) fn nothing(sought: &str) -> Markup {
    let shown: String = sought.chars().take(SHOWN_CHARS_MAX).collect();
    let frame = Frame { title: "Not found", sought: &shown, from: None };
    layout::frame(
        &frame,
        &html! {
            section {
                h2 { "Nothing is on record of " bdi { "“" (shown) "”" } }
                p .note {
                    "Looked for are payments (" code { "pay_…" } "), requests, transactions and payers. What was refused "
                    "before it was claimed is in no ledger: the log and "
                    code { "quittance_refusals_total" } " know of it."
                }
            }
        },
    )
}

/// The ledger said nothing.
pub(super) fn silent(error: &str) -> Markup {
    let frame = Frame { title: "The ledger does not answer", sought: "", from: None };
    layout::frame(
        &frame,
        &html! {
            section { h2 { "The ledger does not answer" } p .note { (error) } }
        },
    )
}
