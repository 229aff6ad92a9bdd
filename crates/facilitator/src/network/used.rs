//! Authorizations that were used before they were claimed here (invariant I4): what
//! is said of them, with the transaction that did it.

use quittance_protocol::{Deadline, ErrorCode, Landing};

use crate::api::Rejection;
use crate::chain::Use;

/// The reason of a verdict; begins with the transaction.
pub(crate) fn before_its_claim(landing: &Landing) -> String {
    format!(
        "{} used this authorization before it was claimed here, in block {}",
        landing.transaction, landing.block
    )
}

/// The transaction that a verdict of [`before_its_claim`] names.
pub(crate) fn named_in(code: ErrorCode, reason: &str) -> Option<String> {
    let (transaction, _) = reason.split_once(' ').filter(|_| is_already_used(code))?;
    Some(transaction.to_owned())
}

/// The code of the chain that a deadline is of.
pub(crate) fn code(deadline: Deadline) -> ErrorCode {
    match deadline {
        Deadline::UnixSeconds(_) => ErrorCode::InvalidExactEvmNonceAlreadyUsed,
        Deadline::BlockHeight(_) => ErrorCode::InvalidExactSvmNonceAlreadyUsed,
    }
}

/// Whether a chain refused a payment because it has seen it before.
pub(crate) fn is_already_used(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidExactEvmNonceAlreadyUsed | ErrorCode::InvalidExactSvmNonceAlreadyUsed)
}

/// Names what used it up, or says that it was looked for.
pub(crate) fn name(rejection: Rejection, found: Option<Use>) -> Rejection {
    match found {
        Some(Use { transaction, canceled: false }) => Rejection {
            message: format!(
                "this authorization was used before it was claimed here, in transaction {transaction}; \
                 sign a new one"
            ),
            transaction: Some(transaction),
            ..rejection
        },
        // It moved no money: only words name it.
        Some(Use { transaction, canceled: true }) => Rejection {
            message: format!("this authorization was cancelled in transaction {transaction}; sign a new one"),
            ..rejection
        },
        None => Rejection {
            message: format!(
                "{}; which transaction did it was not found within the search's bounds",
                rejection.message
            ),
            ..rejection
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_the_transaction_that_was_earlier() {
        let landing = Landing {
            transaction: "0xabc".to_owned(),
            block: 7,
            block_hash: String::new(),
            block_time: 0,
            cost_native: 0,
            paid_by_us: false,
            log_index: None,
        };
        let reason = before_its_claim(&landing);
        assert_eq!(named_in(code(Deadline::UnixSeconds(1)), &reason).as_deref(), Some("0xabc"));
        assert_eq!(named_in(code(Deadline::BlockHeight(1)), &reason).as_deref(), Some("0xabc"));
        assert_eq!(named_in(ErrorCode::InvalidTransactionState, &reason), None);
    }

    #[test]
    fn a_refusal_names_a_payment_and_only_mentions_a_cancellation() {
        let rejection = Rejection::new(code(Deadline::UnixSeconds(1)), "already used");
        let found = |canceled| Some(Use { transaction: "0xabc".to_owned(), canceled });
        let used = name(rejection.clone(), found(false));
        assert_eq!(used.transaction.as_deref(), Some("0xabc"));
        assert!(used.message.contains("0xabc"));
        let cancelled = name(rejection.clone(), found(true));
        assert_eq!(cancelled.transaction, None);
        assert!(cancelled.message.contains("cancelled in transaction 0xabc"));
        assert!(name(rejection, None).message.contains("not found"));
    }
}
