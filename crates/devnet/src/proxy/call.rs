//! One JSON-RPC call as a proxy reads it.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One JSON-RPC call, as far as a proxy has to understand it.
#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    /// The method's name.
    #[serde(borrow)]
    pub method: std::borrow::Cow<'a, str>,
    /// The id, to be echoed as it came.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// The parameters as they came.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
}
