//! The request, sent byte for byte the same each time.

use quittance_protocol::{Amount, plain_words};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use sha2::{Digest as _, Sha256};

use crate::{Limits, PayError};

/// One call to an endpoint that may ask for payment.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    at_most: Option<Amount>,
}

impl Request {
    /// A request of any method.
    pub fn new(method: &str, url: &str, body: Vec<u8>) -> Result<Self, PayError> {
        let method = method.parse().map_err(|_| bad("the method is none"))?;
        let url: Url = url.parse().map_err(|error| bad(&format!("the URL cannot be read: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("the URL must be one of http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("the URL has a user or password; send them in a header"));
        }
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(Self { method, url, headers, body, at_most: None })
    }

    /// `GET` without a body.
    pub fn get(url: &str) -> Result<Self, PayError> {
        Self::new("GET", url, Vec::new())
    }

    /// `POST` of a JSON body.
    pub fn post(url: &str, body: Vec<u8>) -> Result<Self, PayError> {
        Self::new("POST", url, body)
    }

    /// With one more header; it takes the place of one of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, PayError> {
        let name = HeaderName::try_from(name.trim()).map_err(|_| bad("a header's name is none"))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| bad("a header's value is none"))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Refuses a price above this, in units of 10⁻⁶ dollars; it only ever lowers what the limits
    /// allow. It is about what is signed: a payment that is open is sent again whatever it was for.
    pub fn at_most(self, price: Amount) -> Self {
        Self { at_most: Some(price), ..self }
    }

    /// Whether this call may cost as much; the limits have a word of their own.
    pub(crate) fn check_price(&self, price: Amount, limits: &Limits) -> Result<(), PayError> {
        let Some(most) = self.at_most else { return Ok(()) };
        if limits.token.is_some() {
            return Err(PayError::Limit(
                "a highest price is in dollars, and says nothing about another token".to_owned(),
            ));
        }
        if price <= most {
            return Ok(());
        }
        let (price, most) = (price.to_usdc(), most.to_usdc());
        Err(PayError::Limit(format!("the price is {price} USDC, above the {most} that this call may cost")))
    }

    /// The method, in capitals.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// The URL as it is asked.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Host, with the port where it is not the scheme's own.
    pub fn host(&self) -> String {
        let name = self.host_name();
        self.url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
    }

    /// Scheme, host and port: where the server's own documents are.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whose limit by day it is: one host has many ports, and a name with a dot at its end is the same.
    pub fn host_name(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_end_matches('.')
    }

    /// What makes two calls the same: method, URL, type, body, and the name that the client
    /// gives its purchase. Other headers may carry time or a trace, and buy nothing else.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let header = |name: HeaderName| self.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        let (kind, key) = (header(CONTENT_TYPE), header(HeaderName::from_static("idempotency-key")));
        for part in [self.method.as_str().as_bytes(), self.url.as_str().as_bytes(), kind, key, &self.body] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hex::encode(hash.finalize())
    }

    pub(crate) async fn send(
        &self,
        client: &Client,
        payment: Option<(&str, &str)>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .body(self.body.clone());
        if let Some((name, payment)) = payment {
            request = request.header(name, payment);
        }
        request.send().await
    }
}

fn bad(text: &str) -> PayError {
    PayError::Request(plain_words(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_buys_the_same_has_the_same_fingerprint() {
        let one = Request::post("https://a.example/x", b"{}".to_vec()).unwrap();
        let traced = one.clone().header("X-Trace", "7").unwrap();
        assert_eq!(one.fingerprint(), traced.fingerprint());
        for other in [
            Request::new("PUT", "https://a.example/x", b"{}".to_vec()).unwrap(),
            Request::post("https://a.example:8443/x", b"{}".to_vec()).unwrap(),
            Request::post("https://a.example/x?y=1", b"{}".to_vec()).unwrap(),
            Request::post("https://a.example/x", b"{ }".to_vec()).unwrap(),
            one.clone().header("content-type", "text/plain").unwrap(),
            one.clone().header("Idempotency-Key", "order-2").unwrap(),
        ] {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{other:?}");
        }
    }

    #[test]
    fn hosts_are_named_with_ports_of_their_own() {
        let host = |url: &str| Request::get(url).unwrap().host();
        assert_eq!(host("https://Api.Example:443/x"), "api.example");
        assert_eq!(host("http://127.0.0.1:8080/x"), "127.0.0.1:8080");
        assert_eq!(host("https://api.example./x"), "api.example");
        assert_eq!(Request::get("https://api.example:8443/x").unwrap().host_name(), "api.example");
    }

    #[test]
    fn what_is_no_url_of_the_web_is_refused_before_anything_is_sent() {
        for url in ["", "x", "ftp://a.example", "file:///etc/passwd", "https://user:word@a.example/"] {
            assert!(matches!(Request::get(url), Err(PayError::Request(_))), "{url}");
        }
    }
}
