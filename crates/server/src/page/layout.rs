//! The frame around every page: head, style, the one script, the search box.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// What a page may do: this style, this script, and asking for itself again. A text that got out of
/// its place could neither run nor load nor send anything.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// What differs from page to page.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// What stands in the search box.
    pub(super) sought: &'a str,
    /// Where the page's content is asked for again; none where it does not change.
    pub(super) from: Option<&'a str>,
}

/// A whole page. Style and script are constants; nothing else is written unescaped anywhere.
pub(super) fn frame(frame: &Frame<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " – Quittance" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    a .brand href="/status/" { "Quittance" }
                    form action="/status/search" role="search" {
                        input #q type="search" name="q" value=(frame.sought) maxlength="128" autocomplete="off"
                            spellcheck="false" aria-label="Search for a payment, request, transaction or payer"
                            placeholder="pay_…, transaction or payer";
                        button { "Search" }
                    }
                }
                p #stale role="status" hidden { "The program does not answer. What is shown here is old." }
                main #board data-from=[frame.from] { (content) }
                footer {
                    "For the operator. "
                    noscript { "Without scripts this page does not update by itself: reload it." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}
