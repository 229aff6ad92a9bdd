//! How this API refuses.

use http::StatusCode;
use quittance_quote::Refusal;
use serde_json::{Value, json};

use crate::answer::{self, Answer};

/// An answer that is not what was asked for, as `{"error": {…}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError(Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    status: StatusCode,
    code: String,
    message: String,
    field: Option<String>,
    choices: Vec<String>,
    /// The catalogue's own words, when it was the one to refuse.
    body: Option<Value>,
}

impl ApiError {
    /// An answer with this status, a stable code and a sentence for people.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code: code.to_owned(),
            message: message.into(),
            field: None,
            choices: Vec::new(),
            body: None,
        }))
    }

    /// 400: the request must change.
    pub fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 500: our fault; a payment becomes a credit.
    pub fn internal(code: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, "the request failed; send it again")
    }

    /// Names the field to change.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Lists what would have been accepted.
    #[must_use]
    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.0.choices = choices.iter().map(|c| (*c).to_owned()).collect();
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What its client reads.
    pub(crate) fn answer(&self) -> Answer {
        answer::json(self.0.status, &self.json())
    }

    fn json(&self) -> Value {
        let Parts { code, message, field, choices, .. } = &*self.0;
        self.0.body.clone().unwrap_or_else(|| {
            let mut error = json!({ "code": code, "message": message });
            if let Some(field) = field {
                error["field"] = json!(field);
            }
            if !choices.is_empty() {
                error["choices"] = json!(choices);
            }
            json!({ "error": error })
        })
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(Parts {
            status: StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST),
            code: refusal.code,
            message: refusal.message,
            field: refusal.field,
            choices: refusal.choices,
            body: Some(refusal.body),
        }))
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let body = error.json();
        let error = *error.0;
        Self {
            status: error.status.as_u16(),
            code: error.code,
            field: error.field,
            message: error.message,
            choices: error.choices,
            body,
        }
    }
}
