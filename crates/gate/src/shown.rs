//! What a request shows for its payment: in `PAYMENT-SIGNATURE` (x402 version 2), in
//! `X-PAYMENT` (version 1), or in both, read as if an attacker wrote it.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use quittance_protocol::{
    HEADER_BYTES_MAX, HeaderError, PaymentPayload, X402_VERSION, decode_header, read_shape, v1,
};
use serde_json::Value;

use crate::GateError;
use crate::facilitate::Facilitate;
use crate::head::{PAYMENT, X_PAYMENT};

/// Different payments of one request that are looked up in the ledger: each is a read.
const PAYMENTS_MAX: usize = 4;

/// What a request shows for its payment.
#[derive(Debug)]
pub(crate) enum Shown {
    Nothing,
    /// One payment, however often and in whichever version it was written.
    One(Box<PaymentPayload>),
    /// None of these is taken; one may be on record.
    Several(Several),
    /// It cannot be read.
    Unreadable(GateError),
}

/// Payments of which none is taken.
#[derive(Debug)]
pub(crate) struct Several {
    /// Those that can be read.
    pub(crate) payments: Vec<PaymentPayload>,
    /// Whether there are more than are looked at.
    pub(crate) more: bool,
    /// What is said where nothing is known of any.
    pub(crate) error: GateError,
}

/// One header value.
enum Read {
    Good(Box<PaymentPayload>),
    /// A payment, in the header of another version.
    Misplaced(Box<PaymentPayload>),
    Bad(GateError),
}

/// The payment that came with the request, if one did.
///
/// Clients that suit servers of both versions send it in both headers; it is one payment as
/// long as what was signed is the same. Beside a payment in version 2's header one in
/// version 1's that cannot be read says nothing.
pub(crate) fn shown(headers: &HeaderMap, facilitator: &dyn Facilitate) -> Shown {
    let signature = in_header(headers, &PAYMENT, X402_VERSION, facilitator);
    let x_payment = in_header(headers, &X_PAYMENT, v1::VERSION, facilitator);
    match (signature, x_payment) {
        (Shown::Nothing, shown) | (shown, Shown::Nothing | Shown::Unreadable(_)) => shown,
        (Shown::One(payment), others) if others.is_only(&payment) => Shown::One(payment),
        (others @ Shown::Several(Several { error: GateError::PaymentVersion, .. }), Shown::One(payment))
            if others.is_only(&payment) =>
        {
            Shown::One(payment)
        }
        (signature, x_payment) => Shown::Several(signature.and(x_payment)),
    }
}

impl Shown {
    /// Whether it shows nothing but this payment, as far as it can be read.
    fn is_only(&self, payment: &PaymentPayload) -> bool {
        match self {
            Self::Nothing | Self::Unreadable(_) => true,
            Self::One(other) => other.payload == payment.payload,
            Self::Several(Several { payments, more, .. }) => {
                !more && payments.iter().all(|other| other.payload == payment.payload)
            }
        }
    }

    fn into_several(self) -> Several {
        match self {
            Self::Several(several) => several,
            Self::One(payment) => {
                Several { payments: vec![*payment], more: false, error: GateError::PaymentRepeated }
            }
            Self::Nothing => Several { payments: Vec::new(), more: false, error: GateError::PaymentRepeated },
            Self::Unreadable(error) => Several { payments: Vec::new(), more: false, error },
        }
    }

    /// All that both show.
    fn and(self, other: Self) -> Several {
        let (mut all, other) = (self.into_several(), other.into_several());
        all.payments.extend(other.payments);
        all.more |= other.more || all.payments.len() > PAYMENTS_MAX;
        all.payments.truncate(PAYMENTS_MAX);
        all
    }
}

/// What one header shows; `version` is the one that belongs there.
///
/// A proxy or a client's middleware that appends on a retry sends the header twice,
/// or joins its values with commas (RFC 9110, section 5.3; base64 has none): equal
/// values are one. Beside an empty one, or one that is no base64, none is taken.
fn in_header(headers: &HeaderMap, name: &HeaderName, version: u64, facilitator: &dyn Facilitate) -> Shown {
    let lines = headers.get_all(name);
    let Some(first) = lines.iter().next() else { return Shown::Nothing };
    let mut values: Vec<&[u8]> = Vec::with_capacity(1);
    let (mut junk, mut more) = (false, false);
    for value in lines.iter().map(HeaderValue::as_bytes).flat_map(|line| line.split(|byte| *byte == b',')) {
        let value = value.trim_ascii();
        if !is_base64(value) {
            junk = true;
        } else if !values.contains(&value) {
            if values.len() == PAYMENTS_MAX {
                more = true;
                break;
            }
            values.push(value);
        }
    }
    let read = |value: &[u8]| read(value, version, facilitator);
    let only = match values[..] {
        [] => read(first.as_bytes()),
        [one] if !junk => read(one),
        _ => {
            let payments = values.iter().filter_map(|value| read(value).payment()).collect();
            return Shown::Several(Several { payments, more, error: GateError::PaymentRepeated });
        }
    };
    match only {
        Read::Good(payment) => Shown::One(payment),
        // Its sender reads the answer of the other version, and may have paid.
        Read::Misplaced(payment) => Shown::Several(Several {
            payments: vec![*payment],
            more: false,
            error: GateError::PaymentVersion,
        }),
        Read::Bad(error) => Shown::Unreadable(error),
    }
}

/// Whether it may be a payment at all: JSON as it is has commas, too.
fn is_base64(value: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    !value.is_empty() && value.iter().all(letter)
}

impl Read {
    fn payment(self) -> Option<PaymentPayload> {
        match self {
            Self::Good(payment) | Self::Misplaced(payment) => Some(*payment),
            Self::Bad(_) => None,
        }
    }
}

fn read(value: &[u8], version: u64, facilitator: &dyn Facilitate) -> Read {
    match payment_in(value, facilitator) {
        Ok((payment, of)) if of == version => Read::Good(Box::new(payment)),
        Ok((payment, _)) => Read::Misplaced(Box::new(payment)),
        Err(error) => Read::Bad(error),
    }
}

/// The payment in version 2, and the version it was written in.
fn payment_in(value: &[u8], facilitator: &dyn Facilitate) -> Result<(PaymentPayload, u64), GateError> {
    if value.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong.into());
    }
    let text = str::from_utf8(value).map_err(|_| HeaderError::NotBase64)?;
    let value: Value = decode_header(text)?;
    // The version first: each has another shape, and "wrong version" tells its sender
    // more than "wrong shape".
    let version = value.get("x402Version").map(Value::as_u64);
    match version {
        Some(Some(X402_VERSION)) => Ok((read_shape(&value).map_err(HeaderError::WrongShape)?, X402_VERSION)),
        // Terms that were accepted are version 2's.
        Some(Some(v1::VERSION)) if value.get("accepted").is_none() => {
            let payment = read_shape(&value).map_err(HeaderError::WrongShape)?;
            Ok((facilitator.in_version_2(payment)?, v1::VERSION))
        }
        Some(_) => Err(GateError::PaymentVersion),
        None => Err(HeaderError::WrongShape("x402Version is missing".to_owned()).into()),
    }
}
