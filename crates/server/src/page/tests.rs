use std::collections::BTreeSet;

use actix_web::test::TestRequest;
use maud::Markup;
use quittance_facilitator::{
    EndpointHealth, ExposureReport, HeightsReport, LaneHead, LaneReport, LastRun, NetworkReport,
    TariffReport, WalletReport,
};
use quittance_ledger::{
    CostEntry, DeliveryState, JournalLine, Margin, Origin, Outstanding, OutstandingKind, Payment,
    PaymentState, Usage,
};
use quittance_protocol::{
    Amount, Deadline, ErrorCode, Fingerprint, Landing, Network, PaymentId, PaymentKey, RequestId,
};
use serde_json::json;

use super::board::{Light, Summed, Told};
use super::calls::{Answered, Call, End, Shown};
use super::look::{Look, looks, sought};
use super::*;

const NOW: i64 = 1_795_392_000_000;

/// What a payer, a node or an upstream may try to get onto the operator's screen.
const ATTACKS: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></style></script><svg onload=alert(1)>",
    "<!-- --!><iframe srcdoc=x>",
    "javascript:alert(1)",
    "&lt;b&gt;\u{202e}txt.exe",
];

fn network() -> Network {
    Network::BASE.parse().unwrap()
}

/// A payment in which `text` stands wherever somebody else's words may.
fn payment(text: &str) -> Payment {
    Payment {
        id: PaymentId::from_stored(format!("pay_{text}")),
        request_id: RequestId::from_stored(text),
        key: PaymentKey::from_bytes([3; 32]),
        network: network(),
        origin: Origin::Merchant(text.to_owned()),
        fingerprint: Fingerprint::from_bytes([4; 32]),
        signature_digest: [5; 32],
        identifier: None,
        payer: text.to_owned(),
        pay_to: text.to_owned(),
        asset: text.to_owned(),
        amount: Amount::new(13_938),
        service: Amount::new(10_000),
        gas: Amount::new(3_938),
        fee: None,
        tariff: Some(7),
        deadline: Deadline::UnixSeconds(1_795_392_600),
        watch_from: 1,
        payload: json!({ "signature": "0xSECRETSIGNATURE" }),
        resource: text.to_owned(),
        state: PaymentState::Settled,
        delivery: DeliveryState::None,
        runs: 0,
        runs_interrupted: 0,
        runs_crashed: 0,
        transaction: Some(text.to_owned()),
        landing: Some(Landing {
            transaction: text.to_owned(),
            block: 41,
            block_hash: text.to_owned(),
            block_time: 0,
            cost_native: 1,
            paid_by_us: true,
            log_index: None,
        }),
        refusal: Some((ErrorCode::SettlementPending, text.to_owned())),
        finality: None,
        finality_at_ms: None,
        owner: text.to_owned(),
        owner_epoch: 1,
        delivery_owner: None,
        delivery_since_ms: None,
        credited_at_ms: None,
        created_at_ms: NOW - 5_000,
        recorded_at_ms: Some(NOW - 4_000),
        settled_at_ms: Some(NOW - 3_000),
        verdict_at_ms: Some(NOW - 3_000),
        first_answer_at_ms: None,
        merchant_answer_at_ms: None,
        pending_answer_at_ms: None,
        pruned_at_ms: None,
    }
}

fn told(text: &str) -> Told {
    let line = |event: &str, detail| JournalLine {
        sequence: 1,
        at_ms: NOW,
        instance: text.to_owned(),
        event: event.to_owned(),
        detail,
    };
    let events = ["claimed", "recorded", "broadcast", "refused", "credited", "settled", "moved"];
    let detail = json!({ "resource": text, "reason": text, "transaction": text, "wallet": text, "nonce": 4,
        "code": text, "outcome": text, "attempt": 3 });
    let mut journal: Vec<_> = events.iter().map(|event| line(event, detail.clone())).collect();
    journal.push(line(text, json!({ text: text })));
    let usage = Usage {
        product: text.to_owned(),
        prompt_tokens_reserved: 1,
        prompt_tokens: 1,
        completion_tokens_reserved: 1,
        completion_tokens: 1,
        reserved: Amount::new(2),
        metered: Amount::new(1),
        charged: Amount::new(2),
    };
    let cost = CostEntry {
        network: network(),
        transaction: text.to_owned(),
        payment: None,
        native: 1_500_000_000_000,
        usdc: Some(Amount::new(3_000)),
        earned: true,
    };
    Told {
        now_ms: NOW,
        name: text.to_owned(),
        coin: (text.to_owned(), 18),
        payment: payment(text),
        journal,
        costs: vec![cost],
        aliases: Vec::new(),
        usage: Some(usage),
        answer: None,
    }
}

#[allow(clippy::too_many_lines, reason = "a list of fields")]
fn light(text: &str) -> Light {
    let report = NetworkReport {
        network: network(),
        asset: text.to_owned(),
        pay_to: text.to_owned(),
        retired: false,
        closed: Some("wallet_empty"),
        strangers_wait: false,
        tariff: Some(TariffReport {
            number: 7,
            gas: Amount::new(3_938),
            cost_native: "1".to_owned(),
            created_at_ms: NOW - 9_000,
        }),
        coin: text.to_owned(),
        coin_decimals: 18,
        rate: Some("2512.75123".to_owned()),
        rate_is_fresh: true,
        rate_age_ms: Some(4_000),
        heights: Some(HeightsReport { latest: 1_234_567, finalized: 1_234_500, read_at_ms: NOW - 1_000 }),
        exposure: ExposureReport {
            reserved: Amount::new(1),
            reserved_max: Amount::new(50_000_000),
            burnt: Amount::ZERO,
            burnt_max: Amount::ZERO,
            spent: Amount::new(2),
            spent_max: Amount::new(3),
        },
        lanes: vec![LaneReport {
            wallet: text.to_owned(),
            retired: false,
            payments: 3,
            oldest_payment_ms: Some(1_200),
            open_slots: 2,
            head: Some(LaneHead { nonce: 41, age_ms: 20_000 }),
            stuck: true,
            broke_lately: true,
        }],
        endpoints: vec![EndpointHealth {
            endpoint: 0,
            host: text.to_owned(),
            state: "behind",
            serves: false,
            head: Some(1_234_567),
            head_age_ms: Some(45_000),
            looked_at_ms: NOW - 2_000,
            calls: 90_000,
            failures: 7,
            failing: vec![text.to_owned()],
        }],
    };
    let wallet = WalletReport {
        network: network(),
        wallet: text.to_owned(),
        role: "active",
        coin: text.to_owned(),
        decimals: 18,
        balance_native: Some("30000000000000000".to_owned()),
        funds: Some("low"),
        runway_settlements: Some(12_345),
        lane_payments: Some(3),
    };
    let run = LastRun {
        task: "tariff",
        network: Network::BASE.to_owned(),
        period_seconds: 5,
        started_at_ms: NOW - 2_000_000,
        began_at_ms: Some(NOW - 1_000_000),
        took_ms: None,
        succeeded_at_ms: None,
        turns: 1,
        failures: 1,
        panics: 1,
        failure: Some(text.to_owned()),
    };
    let margin = Margin {
        network: network(),
        hour_ms: NOW,
        payments: 1_234,
        charged: Amount::new(1_000),
        earned_cost: Amount::new(1_500),
        uncollected_cost: Amount::new(250),
        unpriced: 0,
        cost_least: None,
        cost_median: None,
        cost_p95: None,
    };
    let owed = Outstanding {
        network: network(),
        kind: OutstandingKind::Owed,
        payments: 2,
        amount: Amount::new(27_876),
    };
    let sums = Summed { at_ms: NOW - 3_000, margins: vec![margin.clone(), margin], outstanding: vec![owed] };
    Light {
        now_ms: NOW,
        names: [(network(), text.to_owned())].into(),
        networks: vec![report],
        wallets: vec![wallet],
        upkeep: vec![run],
        warnings: vec![(network(), "no_history")],
        newest: Ok(vec![payment(text)]),
        sums: Some(std::sync::Arc::new(sums)),
        has_calls: true,
    }
}

/// Names of all tags and of all their attributes, as a browser would read them; style and script are
/// text that ends at the first `</`.
fn markup(page: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut tags, mut attributes) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!').unwrap();
        let tag = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let end = rest.find(['=', '>', ' ']).unwrap();
            attributes.insert(rest[..end].to_ascii_lowercase());
            rest = &rest[end..];
            if let Some(value) = rest.strip_prefix("=\"") {
                rest = &value[value.find('"').unwrap() + 1..];
            }
        }
        if matches!(tag.as_str(), "style" | "script") {
            rest = &rest[rest.find("</").unwrap()..];
        }
        tags.insert(tag.trim_start_matches('/').to_owned());
    }
    (tags, attributes)
}

/// A call in which `text` stands wherever somebody else's words may.
fn call(text: &str, end: End) -> Call {
    let payment = Shown { version: 2, lines: vec![text.to_owned()], key: None, is_signed: true };
    Call {
        number: 7,
        began_ms: NOW - 1,
        method: text.to_owned(),
        path: text.to_owned(),
        payment: Some(payment),
        end,
    }
}

fn refused(text: &str) -> End {
    End::Answered(Box::new(Answered {
        at_ms: NOW + 40,
        status: 402,
        code: Some(text.to_owned()),
        message: Some(text.to_owned()),
        offers: vec![text.to_owned()],
        receipt: vec![text.to_owned()],
        state: Some(text.to_owned()),
    }))
}

fn pages(text: &str) -> Vec<Markup> {
    let mut silent = light(text);
    silent.newest = Err(text.to_owned());
    silent.sums = None;
    vec![
        overview::page(&light(text)),
        overview::page(&silent),
        story::page(&told(text)),
        search::nothing(text),
        search::silent(text),
        search::list(text, &[payment(text), payment(text)], NOW),
        sequence::list(&[call(text, refused(text)), call(text, End::Open)], NOW),
        sequence::page(&call(text, refused(text)), Ok(Some(&told(text)))),
        sequence::page(&call(text, End::Dropped { at_ms: NOW }), Err(text)),
    ]
}

#[test]
fn what_others_wrote_stays_text_wherever_it_stands() {
    let harmless: Vec<_> = pages("harmless").into_iter().map(|page| markup(&page.into_string())).collect();
    for attack in ATTACKS {
        for (page, (tags, attributes)) in pages(attack).into_iter().zip(&harmless) {
            let page = page.into_string();
            let (found, named) = markup(&page);
            assert_eq!((&found, &named), (tags, attributes), "{attack} makes markup of its own");
            assert!(!named.iter().any(|name| name.starts_with("on")), "{attack}: {named:?}");
            assert!(page.matches("<script").count() == 1, "{attack}");
        }
    }
}

#[test]
fn no_page_shows_a_signature_or_sends_anybody_elsewhere() {
    for page in pages("harmless") {
        let page = page.into_string();
        assert!(!page.contains("SECRETSIGNATURE"));
        for link in page.split("href=\"").skip(1).chain(page.split("action=\"").skip(1)) {
            assert!(link.starts_with("/status/") || link.starts_with("data:,\""), "{link}");
        }
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains(" src="));
    }
}

/// Nothing else is written unescaped: each of these is a constant.
#[test]
fn only_style_and_script_are_written_as_they_are() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let folder = std::path::Path::new(&here).join("src/page");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("tests.rs") || path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let code = std::fs::read_to_string(&path).unwrap();
        found
            .extend(code.split("PreEscaped(").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()));
    }
    assert_eq!(found, ["STYLE", "SCRIPT"]);
}

#[test]
fn the_policy_names_the_style_and_the_script_of_the_page() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let page = search::nothing("x").into_string();
    for tag in ["style", "script"] {
        let inside =
            page.split(&format!("<{tag}>")).nth(1).unwrap().split(&format!("</{tag}>")).next().unwrap();
        let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(inside.as_bytes()));
        assert!(layout::POLICY.contains(&format!("{tag}-src 'sha256-{hash}'")), "{tag}");
    }
    assert!(layout::POLICY.contains("default-src 'none'") && !layout::POLICY.contains("unsafe"));
}

#[test]
fn the_overview_says_what_wants_somebody_and_what_stands_where() {
    let page = overview::page(&light("harmless")).into_string();
    for words in [
        "Nothing is sold",
        "no wallet can pay the next settlement",
        "Base: endpoint harmless is behind",
        "fails at harmless",
        "wallet harmless is low",
        "offers too little",
        "broke and began anew",
        "tariff eip155:8453 is late",
        "no endpoint keeps a history",
        "Base: 2 payments are to be refunded (owed: another ledger landed them)",
        "0.003938",
        "2512.75",
        "1\u{202f}234\u{202f}567",
        "0.03 harmless",
        "12\u{202f}345",
        "-0.001500",
        "20 s ago",
        "pay_harmless",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
}

#[test]
fn a_story_is_told_in_order_with_its_reasons() {
    let page = story::page(&told("harmless")).into_string();
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words} in {page}"));
    assert!(at("Claimed</td>") < at("Signed and recorded"), "in order");
    assert!(at("Signed and recorded") < at("Sent: outcome unknown"));
    for words in ["attempt 3, nonce 4 of harmless", "0.0000015 harmless", "0.000938", "landed it"] {
        at(words);
    }
}

#[test]
fn a_call_is_a_sequence_and_a_refusal_is_said_in_words() {
    let refused = refused("insufficient_funds");
    let page = sequence::page(&call("harmless", refused.clone()), Ok(Some(&told("harmless")))).into_string();
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words} in {page}"));
    assert!(at("with a payment of x402 version 2") < at("Checks passed"), "in order");
    assert!(at("Checks passed") < at("Signed and recorded"));
    assert!(at("Signed and recorded") < at("in block 41") && at("in block 41") < at("Refused: 402"));
    for words in ["signed by its payer", "+1 ms", "+41 ms", "fund it and sign anew"] {
        at(words);
    }
    let mut asks = call("harmless", refused);
    asks.payment = None;
    let page = sequence::page(&asks, Ok(None)).into_string();
    assert!(page.contains("Offered: 402") && !page.contains("fund it"), "who only asks was refused nothing");
}

fn asked(headers: &[(&'static str, &'static str)]) -> actix_web::HttpRequest {
    let request = TestRequest::get().uri("/status/");
    headers.iter().fold(request, |request, header| request.insert_header(*header)).to_http_request()
}

#[test]
fn a_strangers_name_that_points_here_reads_nothing() {
    for host in ["127.0.0.1:4402", "localhost:4402", "[::1]:4402", "10.1.2.3", "LOCALHOST"] {
        assert!(is_asked_by_address(&asked(&[("Host", host)])), "{host}");
    }
    for host in ["evil.example:4402", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[evil]:1"] {
        assert!(!is_asked_by_address(&asked(&[("Host", host)])), "{host}");
    }
}

#[test]
fn a_strangers_page_embeds_nothing_and_a_link_is_followed() {
    assert!(is_embedded(&asked(&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")])));
    assert!(!is_embedded(&asked(&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")])));
    assert!(!is_embedded(&asked(&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")])));
    assert!(!is_embedded(&asked(&[])));
}

#[test]
fn programs_get_json_and_browsers_pages() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    assert!(wants_page(&asked(&[("Accept", browser)])));
    for program in ["*/*", "application/json", ""] {
        assert!(!wants_page(&asked(&[("Accept", program)])), "{program}");
    }
    assert!(!wants_page(&asked(&[])));
    assert!(is_page("/status/") && is_page("/status/payments/x"));
    assert!(!is_page("/status") && !is_page("/statusx/") && !is_page("/other/status/"));
}

#[test]
fn what_is_typed_is_looked_for_by_indexes_or_not_at_all() {
    let networks: Vec<Network> =
        [Network::BASE, Network::SOLANA].map(|network| network.parse().unwrap()).into();
    let of = |text: &str| looks(text, networks.iter());
    let [base, solana] = [&networks[0], &networks[1]];
    assert_eq!(of("pay_0a"), [Look::Payment(PaymentId::from_stored("pay_0a"))]);
    let hash = format!("0x{}", "Ab".repeat(32));
    assert!(of(&hash).contains(&Look::Transaction(base.clone(), hash.to_lowercase())));
    let payer = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045";
    let stored = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045".to_owned();
    for typed in [payer.to_owned(), payer.to_uppercase(), stored.clone()] {
        assert!(of(&typed).contains(&Look::Payer(base.clone(), stored.clone())), "{typed}");
    }
    let key = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU".to_owned();
    assert!(of(&key).contains(&Look::Payer(solana.clone(), key.clone())));
    assert!(of(&"5".repeat(88)).contains(&Look::Transaction(solana.clone(), "5".repeat(88))));
    for nothing in ["", "%", "a b", "' OR 1=1 --", "pay_<script>"] {
        assert!(of(nothing).is_empty(), "{nothing}");
    }
    assert_eq!(sought("q=%20pay_1%0a&x=2"), "pay_1");
    assert_eq!(sought(&format!("q={}", "x".repeat(4_000))).len(), 128);
    assert_eq!(sought("%%%"), "");
}
