//! Where a payment, its delivery and its landing stand.

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every value, in the order a payment goes through them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value as it is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn from_stored(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use text_enum;

text_enum!(
    /// Where a payment stands. `Settled`, `Refused` and `Expired` are final.
    PaymentState {
        /// The key is ours; nothing is signed.
        Claimed => "claimed",
        /// Signed bytes are durable and count as possibly sent.
        Recorded => "recorded",
        /// The money arrived.
        Settled => "settled",
        /// It never will, by refusal or cancellation.
        Refused => "refused",
        /// It never will, the deadline is finalized.
        Expired => "expired",
    }
);

text_enum!(
    /// Where the work that a gate payment bought stands.
    DeliveryState {
        /// Not started.
        None => "none",
        /// A handler runs.
        Running => "running",
        /// The run completed; its answer is kept whole, or reached its client whole.
        Delivered => "delivered",
        /// The run completed and never runs again; its answer is not kept and did
        /// not reach its client whole, as far as is known. Refundable.
        DeliveredInPart => "delivered_in_part",
        /// The handler failed; the same request may run again.
        Credited => "credited",
        /// Another ledger landed the payment and may have served it: nothing will
        /// run for it here, and the operator refunds it.
        Owed => "owed",
    }
);

text_enum!(
    /// What became of a settled payment's landing (invariant I6). The grant
    /// stands either way.
    Finality {
        /// It is in a finalized block and cannot vanish.
        Finalized => "finalized",
        /// A reorganisation took it away and it cannot land again.
        ReorgedLoss => "reorged_loss",
    }
);

text_enum!(
    /// Whether a merchant may sell. `Closed` is final.
    MerchantState {
        /// It may.
        Open => "open",
        /// Its keys are none any more; what was claimed is finished.
        Closed => "closed",
    }
);

text_enum!(
    /// Who carries what settling a merchant's payment costs.
    FeePolicy {
        /// The payer: the surcharge is part of the amount, which the merchant receives and owes.
        Added => "added",
        /// The operator, within the merchant's limits.
        Absorbed => "absorbed",
        /// The merchant, by its statement.
        Billed => "billed",
    }
);

impl DeliveryState {
    /// The word in the column; what is in part has a column of its own beside it.
    pub(crate) const fn stored(self) -> &'static str {
        match self {
            Self::DeliveredInPart => Self::Delivered.as_str(),
            other => other.as_str(),
        }
    }

    /// Whether the run has completed, so that none ever follows.
    pub const fn is_completed(self) -> bool {
        matches!(self, Self::Delivered | Self::DeliveredInPart)
    }
}

impl PaymentState {
    /// Whether this state is a verdict (invariant I6).
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Settled | Self::Refused | Self::Expired)
    }

    /// The only transitions a payment can make.
    pub const fn may_become(self, to: Self) -> bool {
        match (self, to) {
            (Self::Claimed, Self::Recorded | Self::Settled | Self::Refused | Self::Expired) => true,
            (Self::Recorded, Self::Settled | Self::Refused | Self::Expired) => true,
            (Self::Claimed | Self::Recorded | Self::Settled | Self::Refused | Self::Expired, _) => false,
        }
    }
}
