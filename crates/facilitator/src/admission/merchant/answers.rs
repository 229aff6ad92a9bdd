//! The words of `/verify`, `/settle` and `/supported`.

use std::sync::Arc;

use quittance_ledger::{Merchant, Origin, Payment, PaymentState};
use quittance_protocol::{
    ErrorCode, RetryAction, SettleResponse, SupportedKind, SupportedResponse, VerifyResponse, X402_VERSION,
    v1,
};
use serde_json::{Map, Value, json};

use super::own_terms::row_at;
use crate::Inner;
use crate::api::Rejection;
use crate::api::receipts::{
    PENDING_RETRY_SECONDS, UNAVAILABLE_RETRY_SECONDS, pending_receipt, receipt, reject,
};
use crate::delivery::grants::REFUND_OWED;
use crate::network::configured::ConfiguredNetwork;
use crate::network::used;

impl Inner {
    pub(super) fn refused(&self, network: &str, rejection: &Rejection) -> SettleResponse {
        self.context.metrics.refused(self.label(network), rejection.code);
        failure(network, rejection)
    }

    pub(super) fn invalid(&self, network: &str, rejection: Rejection) -> VerifyResponse {
        self.context.metrics.refused(self.label(network), rejection.code);
        let (retry_action, retry_after_seconds) = next(&rejection);
        let mut other = Map::new();
        other.insert("retry_action".to_owned(), json!(retry_action));
        if let Some(seconds) = retry_after_seconds {
            other.insert("retry_after_seconds".to_owned(), json!(seconds));
        }
        if let Some(transaction) = &rejection.transaction {
            other.insert("transaction".to_owned(), json!(transaction));
        }
        VerifyResponse {
            is_valid: false,
            invalid_reason: Some(rejection.code),
            invalid_message: Some(rejection.message),
            payer: rejection.payer,
            other,
        }
    }

    /// See [`crate::Facilitator::supported`]. Servers of version 1 look for the first kind
    /// of a name of theirs, servers of version 2 for theirs: both find their own.
    pub(crate) fn supported(&self, row: Option<&Arc<Merchant>>) -> SupportedResponse {
        let mut signers = Map::new();
        let (mut kinds, mut of_version_1) = (Vec::new(), Vec::new());
        let now_ms = self.context.clock.now_ms();
        let selling =
            |net: &&Arc<ConfiguredNetwork>| !net.retired && row.is_none_or(|row| row_at(row, net).is_some());
        for net in self.networks.iter().filter(selling) {
            let network = net.chain.network();
            let kind = SupportedKind {
                x402_version: X402_VERSION,
                scheme: "exact".to_owned(),
                network: network.to_string(),
                // Servers keep it for as long as they live: the order of the wallets decides.
                extra: match row {
                    None => net.kept_terms().extra.clone(),
                    Some(row) => own_extra(net, row, now_ms),
                },
            };
            let name = v1::name_of(network.as_str()).map(str::to_owned);
            of_version_1.extend(name.map(|network| SupportedKind {
                x402_version: v1::VERSION,
                network,
                ..kind.clone()
            }));
            kinds.push(kind);
            let family = network.as_str().split(':').next().unwrap_or_default();
            let list = signers.entry(format!("{family}:*")).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.extend(net.chain.facts().wallets.iter().map(|wallet| json!(wallet)));
            }
        }
        kinds.append(&mut of_version_1);
        let closed = self.networks.iter().filter(selling).filter_map(|net| {
            Some((net.chain.network().to_string(), json!(net.open(now_ms).err()?.as_str())))
        });
        let closed = closed.collect();
        SupportedResponse { kinds, extensions: vec!["payment-identifier".to_owned()], signers, closed }
    }
}

/// What a merchant's server needs to make offers: its own terms beside what clients need, and
/// what settling costs now, by who carries it.
fn own_extra(net: &ConfiguredNetwork, row: &Arc<Merchant>, now_ms: i64) -> Map<String, Value> {
    let mut extra = net.kept_terms().extra.clone();
    if let Some(own) = row_at(row, net) {
        extra.insert("payTo".to_owned(), json!(own.pay_to));
        extra.insert("asset".to_owned(), json!(net.terms.asset));
    }
    let amount = net.current(now_ms).map(|tariff| tariff.gas);
    extra.insert("surcharge".to_owned(), json!({ "policy": row.fee_policy, "amount": amount }));
    extra
}

pub(super) fn valid(payer: String) -> VerifyResponse {
    VerifyResponse {
        is_valid: true,
        invalid_reason: None,
        invalid_message: None,
        payer: Some(payer),
        other: Map::new(),
    }
}

pub(super) fn unreachable_chain() -> Rejection {
    reject(ErrorCode::NetworkUnavailable, "the chain cannot be reached now; send the same payment again")
        .retry_same()
}

pub(super) fn ledger_trouble(code: ErrorCode) -> Rejection {
    reject(code, "the ledger cannot be used now; send the same payment again").retry_same()
}

/// As many copies of a payment wait as may: the outcome is theirs, too.
pub(super) fn copy_too_many(payer: &str) -> Rejection {
    reject(ErrorCode::SettlementPending, "copies of this payment wait for its outcome; send it again")
        .of(payer)
        .retry_same()
}

/// No place is free. Nothing is known of this payment, which may be on record.
pub(super) fn crowded(payer: &str) -> Rejection {
    reject(ErrorCode::NetworkUnavailable, "too many payments are in flight; send the same payment again")
        .of(payer)
        .retry_same()
}

/// Nobody knows the outcome yet.
pub(super) fn pending(payer: &str) -> Rejection {
    reject(ErrorCode::SettlementPending, "this payment is being settled; send it again")
        .of(payer)
        .retry_same()
}

/// The payment bought something already.
pub(super) fn duplicate(known: &Payment) -> Rejection {
    let rejection = reject(ErrorCode::DuplicateSettlement, "this payment was settled before");
    Rejection {
        retry_action: RetryAction::DoNotRetry,
        transaction: known.transaction.clone(),
        ..rejection.of(known.payer.clone())
    }
}

/// Another ledger landed it at a shared payout address: nothing may be served for it here.
pub(super) fn owed(known: &Payment) -> Rejection {
    let rejection = reject(ErrorCode::RefundOwed, REFUND_OWED);
    Rejection {
        retry_action: RetryAction::DoNotRetry,
        transaction: known.transaction.clone(),
        ..rejection.of(known.payer.clone())
    }
}

/// Why a payment that will never land did not: nothing was paid, so a new one may be.
pub(super) fn ended(known: &Payment) -> Rejection {
    let (code, message) = known
        .refusal
        .clone()
        .unwrap_or((ErrorCode::PaymentExpired, "the payment expired without landing".to_owned()));
    let transaction = used::named_in(code, &message);
    Rejection { transaction, ..reject(code, &message).of(known.payer.clone()) }
}

/// What somebody hears who holds another's payment: another signature, another
/// server's, one for other terms. While its outcome is unknown, nothing that
/// invites to pay again (P5).
pub(super) fn of_another(known: &Payment, asker: &str) -> SettleResponse {
    let answer = match known.state {
        PaymentState::Claimed | PaymentState::Recorded => pending_receipt(known),
        PaymentState::Settled => duplicate_of(known),
        PaymentState::Refused | PaymentState::Expired => ended_of(known),
    };
    match &known.origin {
        // A merchant learns nothing of another's sale but that this authorization is taken.
        Origin::Merchant(of) if of != asker => SettleResponse {
            transaction: String::new(),
            amount: None,
            error_message: answer.error_message.as_ref().map(|_| ANOTHERS.to_owned()),
            ..answer
        },
        _ => answer,
    }
}

/// All that is said in words of another merchant's payment: a node's words may name its transaction.
const ANOTHERS: &str = "this authorization was used for another sale";

/// The same at `/verify`.
pub(super) fn for_another(origin: &Origin, asker: &str, rejection: Rejection) -> Rejection {
    match origin {
        Origin::Merchant(of) if of != asker => {
            Rejection { transaction: None, message: ANOTHERS.to_owned(), ..rejection }
        }
        _ => rejection,
    }
}

pub(super) fn duplicate_of(known: &Payment) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::DuplicateSettlement),
        error_message: Some("this payment was settled before".to_owned()),
        retry_action: Some(RetryAction::DoNotRetry),
        ..receipt(known)
    }
}

pub(super) fn owed_of(known: &Payment) -> SettleResponse {
    SettleResponse {
        error_reason: Some(ErrorCode::RefundOwed),
        error_message: Some(REFUND_OWED.to_owned()),
        ..duplicate_of(known)
    }
}

pub(super) fn ended_of(known: &Payment) -> SettleResponse {
    SettleResponse {
        payment_state: Some(known.state.to_string()),
        retry_action: Some(RetryAction::Pay),
        retry_after_seconds: None,
        ..failure(known.network.as_str(), &ended(known))
    }
}

fn failure(network: &str, rejection: &Rejection) -> SettleResponse {
    let (retry_action, retry_after_seconds) = next(rejection);
    // What is to be sent again may be on record.
    let is_known_not_to_be = retry_action != RetryAction::RetrySamePayment;
    SettleResponse {
        success: false,
        error_reason: Some(rejection.code),
        error_message: Some(rejection.message.clone()),
        payer: rejection.payer.clone(),
        transaction: rejection.transaction.clone().unwrap_or_default(),
        network: network.to_owned(),
        amount: None,
        payment_state: is_known_not_to_be.then(|| "none".to_owned()),
        retry_action: Some(retry_action),
        retry_after_seconds,
        other: Map::new(),
    }
}

/// What may be done next. A code that says nothing about the outcome never
/// invites to pay, whoever made the refusal (P5).
fn next(rejection: &Rejection) -> (RetryAction, Option<u64>) {
    let known = rejection.retry_after_seconds;
    match rejection.code {
        ErrorCode::SettlementPending => {
            (RetryAction::RetrySamePayment, known.or(Some(PENDING_RETRY_SECONDS)))
        }
        ErrorCode::NetworkUnavailable
        | ErrorCode::UnexpectedSettleError
        | ErrorCode::TooManyRequests
        | ErrorCode::UnexpectedVerifyError => {
            (RetryAction::RetrySamePayment, known.or(Some(UNAVAILABLE_RETRY_SECONDS)))
        }
        ErrorCode::DuplicateSettlement | ErrorCode::RequestMismatch => (RetryAction::DoNotRetry, None),
        _ if rejection.retry_action == RetryAction::RetrySamePayment => {
            (RetryAction::RetrySamePayment, known.or(Some(PENDING_RETRY_SECONDS)))
        }
        _ => (rejection.retry_action, known),
    }
}

#[cfg(test)]
mod tests;
