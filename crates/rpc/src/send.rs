//! What the answers of several endpoints to the same bytes prove together.

use quittance_protocol::SendOutcome;

/// Joins the answers of endpoints that got the same bytes (invariant I3): one that took them, or may
/// have, outweighs every refusal.
pub fn combine(first: SendOutcome, second: SendOutcome) -> SendOutcome {
    match (first, second) {
        (SendOutcome::Accepted, _) | (_, SendOutcome::Accepted) => SendOutcome::Accepted,
        (unknown @ SendOutcome::Unknown { .. }, _) | (_, unknown @ SendOutcome::Unknown { .. }) => unknown,
        (refused, SendOutcome::Refused { .. }) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(outcome: &SendOutcome) -> &'static str {
        match outcome {
            SendOutcome::Accepted => "accepted",
            SendOutcome::Refused { .. } => "refused",
            SendOutcome::Unknown { .. } => "unknown",
        }
    }

    #[test]
    fn i3_one_endpoint_that_may_have_taken_the_bytes_outweighs_refusals() {
        let all = || {
            [
                SendOutcome::Accepted,
                SendOutcome::Unknown { reason: "first".into() },
                SendOutcome::Refused { reason: "first".into() },
            ]
        };
        for first in all() {
            for second in all() {
                let names = [name(&first), name(&second)];
                let expected = ["accepted", "unknown"].into_iter().find(|word| names.contains(word));
                let joined = combine(first.clone(), second);
                assert_eq!(name(&joined), expected.unwrap_or("refused"), "{names:?}");
            }
        }
    }

    #[test]
    fn the_first_doubt_is_told() {
        let unknown = |reason: &str| SendOutcome::Unknown { reason: reason.to_owned() };
        assert_eq!(combine(unknown("a"), unknown("b")), unknown("a"));
        assert_eq!(combine(unknown("a"), SendOutcome::Refused { reason: "b".into() }), unknown("a"));
    }
}
