//! An application, a customer with a key, and JSON in and out.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::{App, test};
use quittance_quote::Catalogue;
use sample_api::host::Host;
use sample_api::keys::ApiKeys;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::from_toml(include_str!("catalogue.toml")).unwrap())
}

pub(crate) fn host(test_hooks: bool) -> Arc<Host> {
    let hash = hex::encode(Sha256::digest(b"secret"));
    let keys = format!("[[keys]]\nname = \"acme\"\nkey = \"key\"\nsecret_sha256 = \"{hash}\"\n");
    let keys = ApiKeys::parse(&keys).unwrap();
    Arc::new(Host::new(catalogue(), keys, test_hooks, 1024 * 1024).unwrap())
}

pub(crate) async fn app(
    host: &Arc<Host>,
) -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = actix_web::Error>
{
    let host = Arc::clone(host);
    test::init_service(App::new().configure(move |config| host.configure(config))).await
}

/// Sends a request as the account, and reads the answer as text.
pub(crate) async fn send<B: MessageBody>(
    app: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, String) {
    let mut request = test::TestRequest::with_uri(path)
        .method(method.parse().unwrap())
        .insert_header(("Authorization", "Bearer key:secret"));
    if let Some(body) = body {
        request = request.insert_header(("Content-Type", "application/json")).set_payload(body.to_string());
    }
    let answer = test::call_service(app, request.to_request()).await;
    let status = answer.status();
    let bytes = test::read_body(answer).await;
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The same with JSON in the answer.
pub(crate) async fn send_json<B: MessageBody>(
    app: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let (status, text) = send(app, method, path, body).await;
    (status, serde_json::from_str(&text).unwrap())
}
