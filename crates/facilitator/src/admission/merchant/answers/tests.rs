use std::collections::BTreeSet;

use quittance_ledger::{DeliveryState, Origin};
use quittance_protocol::{Amount, Deadline, Fingerprint, PaymentId, PaymentKey, RequestId};

use super::*;

#[test]
fn no_code_that_leaves_the_outcome_open_invites_to_pay() {
    for code in ErrorCode::ALL {
        let answer = failure("eip155:8453", &reject(*code, "why"));
        let open = [
            ErrorCode::SettlementPending,
            ErrorCode::NetworkUnavailable,
            ErrorCode::TooManyRequests,
            ErrorCode::UnexpectedSettleError,
            ErrorCode::UnexpectedVerifyError,
        ];
        if open.contains(code) {
            assert_eq!(answer.retry_action, Some(RetryAction::RetrySamePayment), "{code}");
            assert!(answer.retry_after_seconds.is_some(), "{code}");
            assert_eq!(answer.payment_state, None, "{code}: nobody knows");
        }
    }
    let burnt = reject(ErrorCode::InvalidTransactionState, "tomorrow").do_not_retry().after(7);
    let answer = failure("eip155:8453", &burnt);
    assert_eq!((answer.retry_action, answer.retry_after_seconds), (Some(RetryAction::DoNotRetry), Some(7)));
    let early = reject(ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter, "early").retry_same();
    let answer = failure("eip155:8453", &early);
    assert_eq!(answer.retry_action, Some(RetryAction::RetrySamePayment));
}

/// A payment on record that came to this.
fn on_record(state: PaymentState, refusal: Option<ErrorCode>) -> Payment {
    Payment {
        id: PaymentId::from_random([1; 16]),
        request_id: RequestId::from_random([1; 16]),
        key: PaymentKey::from_bytes([1; 32]),
        network: "eip155:8453".parse().unwrap(),
        origin: Origin::Merchant("shop".to_owned()),
        fingerprint: Fingerprint::of_request("POST", "/settle", "", b""),
        signature_digest: [1; 32],
        identifier: None,
        payer: "0xa".to_owned(),
        pay_to: "0xb".to_owned(),
        asset: "0xc".to_owned(),
        amount: Amount::new(20_000),
        service: Amount::new(10_000),
        gas: Amount::new(10_000),
        fee: None,
        tariff: None,
        deadline: Deadline::UnixSeconds(0),
        watch_from: 0,
        payload: Value::Null,
        resource: "POST /settle".to_owned(),
        state,
        delivery: DeliveryState::None,
        runs: 0,
        runs_interrupted: 0,
        runs_crashed: 0,
        transaction: None,
        landing: None,
        refusal: refusal.map(|code| (code, "why".to_owned())),
        finality: None,
        finality_at_ms: None,
        owner: "here".to_owned(),
        owner_epoch: 1,
        delivery_owner: None,
        delivery_since_ms: None,
        credited_at_ms: None,
        created_at_ms: 0,
        recorded_at_ms: None,
        settled_at_ms: None,
        verdict_at_ms: None,
        first_answer_at_ms: None,
        merchant_answer_at_ms: None,
        pending_answer_at_ms: None,
        pruned_at_ms: None,
    }
}

/// Codes that somebody makes and that neither `/verify` nor `/settle` says.
const NEVER_SAID: [ErrorCode; 5] = [
    // The terms are looked at first, and another scheme is `unsupported_scheme` there.
    ErrorCode::InvalidExactEvmScheme,
    ErrorCode::InvalidExactSvmUnsupportedScheme,
    // Of a request at a gate, or of a run.
    ErrorCode::PaymentRequired,
    ErrorCode::CreditExhausted,
    ErrorCode::ReplayWindowClosed,
];

/// Everything that `/settle` says with a code: of new payments, and of those on record.
fn answers_with(code: ErrorCode) -> Vec<SettleResponse> {
    let refused = |rejection: Rejection| failure("eip155:8453", &rejection);
    let new = || reject(code, "why");
    let ended = |state| ended_of(&on_record(state, (state == PaymentState::Refused).then_some(code)));
    let settled = on_record(PaymentState::Settled, None);
    match code {
        ErrorCode::SettlementPending => vec![
            refused(new()),
            pending_receipt(&on_record(PaymentState::Recorded, None)),
            pending_receipt(&settled),
        ],
        ErrorCode::DuplicateSettlement => vec![duplicate_of(&settled), refused(new().do_not_retry())],
        ErrorCode::RefundOwed => vec![owed_of(&settled)],
        ErrorCode::PaymentExpired => vec![ended(PaymentState::Expired)],
        // The payer cancelled it, or burnt too much of the operator's.
        ErrorCode::InvalidTransactionState => {
            vec![ended(PaymentState::Refused), refused(new().do_not_retry())]
        }
        // Found by the check, or only after the claim.
        code if used::is_already_used(code) => vec![refused(new()), ended(PaymentState::Refused)],
        // What is missing may come.
        ErrorCode::InsufficientFunds | ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter => {
            vec![refused(new()), refused(new().retry_same())]
        }
        _ => vec![refused(new())],
    }
}

/// What ended unpaid may be paid anew, whatever code it ended with.
#[test]
fn what_ended_invites_to_pay_also_with_a_code_that_says_nothing_elsewhere() {
    for code in ErrorCode::ALL {
        let answer = ended_of(&on_record(PaymentState::Refused, Some(*code)));
        assert_eq!((answer.success, answer.error_reason), (false, Some(*code)));
        assert_eq!(
            (answer.retry_action, answer.retry_after_seconds),
            (Some(RetryAction::Pay), None),
            "{code}"
        );
        assert_eq!(answer.payment_state.as_deref(), Some("refused"), "{code}");
    }
}

/// As a cell of docs/errors.md writes it, after the status.
fn written(answer: &SettleResponse) -> String {
    let action = serde_json::to_value(answer.retry_action).unwrap();
    let words = [answer.payment_state.as_deref(), action.as_str()];
    words.into_iter().flatten().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_code_is_answered_as_the_page_says() {
    let page = include_str!("../../../../../../docs/errors.md");
    for code in ErrorCode::ALL {
        let start = format!("| `{code}` |");
        let row = page.lines().find(|line| line.starts_with(&start));
        let cells: Vec<_> =
            row.unwrap_or_else(|| panic!("docs/errors.md lacks {code}")).split(" | ").collect();
        let is_said = !NEVER_SAID.contains(code) && cells[3] != "*nobody*";
        assert_eq!(cells[2] != "–", is_said, "docs/errors.md, {code}, `/settle`");
        // A status alone is the server's answer to what is no request of the API.
        let listed: BTreeSet<_> =
            cells[2].split("; ").filter_map(|answer| Some(answer.split_once(' ')?.1.to_owned())).collect();
        if listed.is_empty() {
            continue;
        }
        let said: BTreeSet<_> = answers_with(*code).iter().map(written).collect();
        assert_eq!(listed, said, "docs/errors.md, {code}, `/settle`");
    }
}
