//! A payment that was verified, typed from its check to the last look at its landing.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use quittance_protocol::{Amount, PaymentKey, UnixSeconds};
use serde_json::Value;

/// What a payload says of itself, before anything in it is compared with what is
/// configured: enough to find it in the ledger.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What makes copies the same payment.
    pub key: PaymentKey,
    /// Who is said to have signed.
    pub payer: String,
    /// What [`PaymentFacts::signature_digest`] may have been for this signature.
    pub digests: Vec<[u8; 32]>,
    /// Whether the payer did sign it.
    pub is_signed: bool,
}

impl Identity {
    /// The payer, where the signature is its own for certain: nothing that is kept by
    /// payer may move for anybody else.
    pub fn signer(&self) -> Option<&str> {
        self.is_signed.then_some(self.payer.as_str())
    }
}

/// A payment of one family that passed its own checks. Only the crate that checks it
/// can make one, and reads it back from [`Verified::get`].
pub trait CheckedPayment: Any + Send + Sync {
    /// What the ledger and the ceilings need to know of it.
    fn facts(&self) -> PaymentFacts;

    /// The form that the ledger keeps; [`crate::Decode::revive`] reads it. Holds the
    /// payer's signature: never logged.
    fn store(&self) -> Result<Value, Unstorable>;
}

/// What may be known of a verified payment outside the crate that verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentFacts {
    /// What makes copies the same payment.
    pub key: PaymentKey,
    /// Who signed.
    pub payer: String,
    /// Where the money comes from: the payer, or a token account of the payer's.
    pub source: String,
    /// What the signature moves.
    pub amount: Amount,
    /// SHA-256 of the canonical signature.
    pub signature_digest: [u8; 32],
    /// Whether the payer's own key made it. Else only the chain can tell, as with
    /// contracts: until it has, anybody may have made it up.
    pub is_signed: bool,
    /// From when on the chain takes it, where it says so; exclusive, in chain time.
    pub valid_after: Option<UnixSeconds>,
    /// Whether a client that means well may sign the very same payment for two
    /// purchases: nothing in it is drawn at random.
    pub may_coincide: bool,
    /// The wallet that alone can finish it, where the payer's own message names it (the
    /// fee payer on Solana).
    pub wallet: Option<String>,
    /// Whether landing it makes us pay the rent of the recipient's token account, as far
    /// as was known when it was checked.
    pub needs_rent: bool,
}

impl PaymentFacts {
    /// As of [`Identity`].
    pub fn signer(&self) -> Option<&str> {
        self.is_signed.then_some(self.payer.as_str())
    }
}

/// A payment whose own signature and terms are good; nothing is known yet about
/// the chain's opinion, the price or our books. Opaque and shared: clones are one.
#[derive(Clone)]
pub struct Verified(Arc<Inner>);

struct Inner {
    facts: PaymentFacts,
    payment: Box<dyn CheckedPayment>,
}

impl Verified {
    /// For the crate that checked it.
    pub fn new(payment: impl CheckedPayment) -> Self {
        Self(Arc::new(Inner { facts: payment.facts(), payment: Box::new(payment) }))
    }

    /// The same where landing it makes us pay the rent of the recipient's token account.
    pub fn with_rent(payment: impl CheckedPayment, needs_rent: bool) -> Self {
        let facts = PaymentFacts { needs_rent, ..payment.facts() };
        Self(Arc::new(Inner { facts, payment: Box::new(payment) }))
    }

    /// The family's own payment; `None` for one of another family.
    pub fn get<P: CheckedPayment>(&self) -> Option<&P> {
        let payment: &dyn Any = self.0.payment.as_ref();
        payment.downcast_ref()
    }

    /// See [`CheckedPayment::store`].
    pub fn store(&self) -> Result<Value, Unstorable> {
        self.0.payment.store()
    }
}

impl Deref for Verified {
    type Target = PaymentFacts;

    fn deref(&self) -> &PaymentFacts {
        &self.0.facts
    }
}

impl fmt::Debug for Verified {
    /// Without the family's own part: it holds the payer's signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("key", &self.key)
            .field("payer", &self.payer)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

/// A stored form that is no payment of this chain: of a newer or broken release, or of
/// a damaged ledger. Nothing is known of the payment, and it cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored form of a payment cannot be read: {0}")]
pub struct Unreadable(pub String);

/// A payment that cannot be written down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payment cannot be stored: {0}")]
pub struct Unstorable(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    struct Ours(&'static str);
    struct Theirs;

    fn facts() -> PaymentFacts {
        PaymentFacts {
            key: PaymentKey::from_bytes([1; 32]),
            payer: "payer".to_owned(),
            source: "source".to_owned(),
            amount: Amount::new(5),
            signature_digest: [9; 32],
            is_signed: true,
            valid_after: None,
            may_coincide: false,
            wallet: None,
            needs_rent: false,
        }
    }

    impl CheckedPayment for Ours {
        fn facts(&self) -> PaymentFacts {
            facts()
        }

        fn store(&self) -> Result<Value, Unstorable> {
            Ok(Value::from(self.0))
        }
    }

    impl CheckedPayment for Theirs {
        fn facts(&self) -> PaymentFacts {
            facts()
        }

        fn store(&self) -> Result<Value, Unstorable> {
            Err(Unstorable("never".to_owned()))
        }
    }

    #[test]
    fn a_payment_of_another_family_is_told_by_its_type() {
        let ours = Verified::new(Ours("signature"));
        assert_eq!(ours.get::<Ours>().map(|ours| ours.0), Some("signature"));
        assert!(ours.get::<Theirs>().is_none());
        assert!(Verified::new(Theirs).get::<Ours>().is_none());
    }

    #[test]
    fn what_is_printed_holds_no_signature() {
        let printed = format!("{:?}", Verified::new(Ours("0xsigned")));
        assert!(printed.contains("payer"), "{printed}");
        assert!(!printed.contains("0xsigned") && !printed.contains('9'), "{printed}");
    }

    #[test]
    fn rent_is_what_the_check_found() {
        assert!(!Verified::new(Ours("")).needs_rent);
        assert!(Verified::with_rent(Ours(""), true).needs_rent);
    }
}
