//! Whether statements are a seller's, and of one sale. Offline: no node and no seller is asked.

use quittance_evm::{offer_signer, receipt_signer};
use quittance_protocol::{OFFER_RECEIPT_VERSION, OfferPayload, ReceiptPayload};

use crate::Found;

/// What an auditor knows from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The addresses that the seller signs with, from its own pages; never from the document.
    pub signers: Vec<String>,
    /// Who paid.
    pub payer: Option<String>,
    /// How much, in atomic units.
    pub amount: Option<String>,
    /// In which transaction.
    pub transaction: Option<String>,
    /// For what: a URL; its query is not compared.
    pub resource: Option<String>,
}

/// What is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The price that the seller offered: of the receipt's network where there is a receipt.
    pub offers: Vec<OfferPayload>,
    /// That it was paid, and what was sold was given.
    pub receipt: Option<ReceiptPayload>,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A version that nobody has defined.
    #[error("the {what} is of version {version}; 1 is known")]
    Version {
        /// `offer` or `receipt`.
        what: &'static str,
        /// What it says.
        version: u64,
    },
    /// No key can have made it.
    #[error("the {0}'s signature is none")]
    Signature(&'static str),
    /// Another key's, or over other fields.
    #[error(
        "the {what} is signed by {found}, which is none of the seller's addresses: a field was changed after it \
         was signed, or somebody else signed it"
    )]
    Signer {
        /// `offer` or `receipt`.
        what: &'static str,
        /// Whom the signature recovers to.
        found: String,
    },
    /// Offer and receipt, or what was expected, do not agree.
    #[error("{field}: {found} instead of {wanted}")]
    Differs {
        /// Which field.
        field: &'static str,
        /// What the statement says.
        found: String,
        /// What it should say.
        wanted: String,
    },
    /// Something was expected of a statement that is not there.
    #[error("there is no signed {0} in the document")]
    Missing(&'static str),
}

impl Wrong {
    /// One word for programs.
    pub fn code(&self) -> String {
        match self {
            Self::Version { what, .. } => format!("{what}_version"),
            Self::Signature(what) => format!("{what}_signature"),
            Self::Signer { what, .. } => format!("{what}_signer"),
            Self::Differs { field, .. } => format!("{field}_mismatch"),
            Self::Missing(what) => format!("{what}_missing"),
        }
    }
}

/// Checks every signature, then that offer and receipt are of one sale, then what is expected.
pub fn check(found: &Found, expected: &Expected) -> Result<Checked, Wrong> {
    for offer in &found.offers {
        let signer = offer_signer(&offer.payload, &offer.signature);
        signed("offer", offer.payload.version, signer, expected)?;
    }
    if let Some(receipt) = &found.receipt {
        let signer = receipt_signer(&receipt.payload, &receipt.signature);
        signed("receipt", receipt.payload.version, signer, expected)?;
    }
    let receipt = found.receipt.as_ref().map(|receipt| receipt.payload.clone());
    let mut offers: Vec<_> = found.offers.iter().map(|offer| offer.payload.clone()).collect();
    if let Some(receipt) = &receipt {
        offers = of_one_sale(offers, receipt)?;
    }
    as_expected(&offers, receipt.as_ref(), expected)?;
    Ok(Checked { offers, receipt })
}

fn signed(
    what: &'static str,
    version: u64,
    signer: Option<String>,
    expected: &Expected,
) -> Result<(), Wrong> {
    if version != OFFER_RECEIPT_VERSION {
        return Err(Wrong::Version { what, version });
    }
    let found = signer.ok_or(Wrong::Signature(what))?;
    let is_known = expected.signers.iter().any(|known| known.eq_ignore_ascii_case(&found));
    if is_known { Ok(()) } else { Err(Wrong::Signer { what, found }) }
}

/// The offers that the receipt is about.
fn of_one_sale(offers: Vec<OfferPayload>, receipt: &ReceiptPayload) -> Result<Vec<OfferPayload>, Wrong> {
    if offers.is_empty() {
        return Ok(offers);
    }
    let listed = |all: &[OfferPayload], field: fn(&OfferPayload) -> &str| {
        all.iter().map(field).collect::<Vec<_>>().join(", ")
    };
    let networks = listed(&offers, |offer| &offer.network);
    let here: Vec<_> = offers.into_iter().filter(|offer| offer.network == receipt.network).collect();
    if here.is_empty() {
        return Err(differs("network", &receipt.network, &networks));
    }
    let urls = listed(&here, |offer| &offer.resource_url);
    let here: Vec<_> = here.into_iter().filter(|offer| offer.resource_url == receipt.resource_url).collect();
    if here.is_empty() {
        return Err(differs("resource", &receipt.resource_url, &urls));
    }
    Ok(here)
}

fn as_expected(
    offers: &[OfferPayload],
    receipt: Option<&ReceiptPayload>,
    expected: &Expected,
) -> Result<(), Wrong> {
    if let Some(wanted) = &expected.amount {
        let offer = offers.first().ok_or(Wrong::Missing("offer"))?;
        if !offers.iter().any(|offer| offer.amount == *wanted) {
            return Err(differs("amount", &offer.amount, wanted));
        }
    }
    if let Some(wanted) = &expected.resource {
        let wanted = quittance_protocol::signed_url(wanted);
        let found = receipt.map(|receipt| &receipt.resource_url);
        let found = found.or_else(|| offers.first().map(|offer| &offer.resource_url));
        same("resource", found.ok_or(Wrong::Missing("receipt"))?, wanted)?;
    }
    let of_receipt = [("payer", &expected.payer), ("transaction", &expected.transaction)];
    for (field, wanted) in of_receipt {
        let Some(wanted) = wanted else { continue };
        let receipt = receipt.ok_or(Wrong::Missing("receipt"))?;
        let found = if field == "payer" { &receipt.payer } else { &receipt.transaction };
        // Hex ignores case; base58 does not, and has no such start.
        let is_hex = wanted.starts_with("0x");
        if !(found == wanted || is_hex && found.eq_ignore_ascii_case(wanted)) {
            return Err(differs(field, found, wanted));
        }
    }
    Ok(())
}

fn same(field: &'static str, found: &str, wanted: &str) -> Result<(), Wrong> {
    if found == wanted { Ok(()) } else { Err(differs(field, found, wanted)) }
}

fn differs(field: &'static str, found: &str, wanted: &str) -> Wrong {
    Wrong::Differs { field, found: found.to_owned(), wanted: wanted.to_owned() }
}
