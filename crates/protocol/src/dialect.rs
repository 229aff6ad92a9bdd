//! Which version somebody speaks, and so which headers and shapes its answer needs.

use serde::Serialize;
use serde_json::Value;

use crate::shape::read_shape;
use crate::v1;
use crate::v2::{SettleResponse, VerifyRequest, VerifyResponse, X402_VERSION};

/// The version that a foreign server asked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Version 1; the payer that its payment names, for answers that name none.
    V1(Option<String>),
    /// Version 2.
    V2,
}

/// Why a body of `/verify` or `/settle` is not one.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// It is a request of the API, of a version that is not spoken, or of two at once.
    #[error(
        "x402 versions 1 and 2 are spoken here; `x402Version` says which, and stands in the request and in \
         its paymentPayload alike"
    )]
    Version,
    /// Version 1, and a network that it has no such name for.
    #[error(transparent)]
    Network(#[from] v1::UnknownName),
    /// Not the shape of the version that it says.
    #[error("not a request of x402 version {0}: {1}")]
    Shape(u64, String),
}

impl Dialect {
    /// Reads the body of `/verify` or `/settle`. Its own `x402Version` says which shape
    /// it has; without one its payment's does (npm `@faremeter/middleware` sends none of its
    /// own), and without either it is taken for version 2, which says what is missing.
    pub fn read(mut body: Value) -> Result<(VerifyRequest, Self), NotAsked> {
        let version = version_in(&body)?;
        let of_payment = body.pointer("/paymentPayload/x402Version").cloned();
        if let (Value::Object(request), Some(said)) = (&mut body, of_payment) {
            request.entry("x402Version").or_insert(said);
        }
        if version == v1::VERSION {
            let request: v1::VerifyRequest =
                read_shape(&body).map_err(|wrong| NotAsked::Shape(version, wrong))?;
            let payer = v1::named_payer(&request.payment_payload.payload).map(str::to_owned);
            return Ok((request.into_v2()?, Self::V1(payer)));
        }
        let request = read_shape(&body).map_err(|wrong| NotAsked::Shape(version, wrong))?;
        Ok((request, Self::V2))
    }

    /// The answer of `POST /verify`.
    pub fn verified(&self, answer: VerifyResponse) -> Said<VerifyResponse> {
        match self {
            Self::V1(payer) => Said::V1(v1::verified(&answer, payer.as_deref())),
            Self::V2 => Said::V2(answer),
        }
    }

    /// The answer of `POST /settle`.
    pub fn settled(&self, answer: SettleResponse) -> Said<SettleResponse> {
        match self {
            Self::V1(payer) => Said::V1(v1::receipt(&answer, payer.as_deref())),
            Self::V2 => Said::V2(answer),
        }
    }
}

/// An answer in one version or the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Said<T> {
    /// Version 1.
    V1(Value),
    /// Version 2.
    V2(T),
}

/// The version that request and payment agree in. Only what has the two parts of a request
/// is one of any version.
fn version_in(body: &Value) -> Result<u64, NotAsked> {
    let part = |name| body.get(name).filter(|part: &&Value| part.is_object());
    let Some((payment, _)) = part("paymentPayload").zip(part("paymentRequirements")) else {
        return Ok(X402_VERSION);
    };
    let said = |value: &Value| value.get("x402Version").and_then(Value::as_u64);
    match (said(body), said(payment)) {
        // What is missing the shape says.
        (Some(v1::VERSION) | None, Some(v1::VERSION)) | (Some(v1::VERSION), None) => Ok(v1::VERSION),
        (Some(X402_VERSION) | None, Some(X402_VERSION) | None) => Ok(X402_VERSION),
        _ => Err(NotAsked::Version),
    }
}

#[cfg(test)]
mod tests;
