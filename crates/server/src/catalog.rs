//! `quittance catalog`: check a catalogue, explain a price.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use quittance_protocol::Amount;
use quittance_quote::{Catalogue, Price, PriceRequest, Pricing, Refusal, Route};
use serde_json::{Value, json};

use crate::print;

/// Exit code for a request that has no price, as scripts expect it.
const REFUSED: u8 = 2;

#[derive(Subcommand)]
pub(crate) enum CatalogCommand {
    /// Read a catalogue and list what it sells.
    Check {
        /// Catalogue (TOML).
        file: PathBuf,
    },
    /// Price one request and show how the sum adds up.
    Price {
        /// Catalogue (TOML).
        file: PathBuf,
        /// HTTP method.
        #[arg(long, default_value = "POST")]
        method: String,
        /// Path, with the query if there is one.
        #[arg(long)]
        path: String,
        /// JSON body; `@FILE` reads a file.
        #[arg(long, default_value = "")]
        body: String,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of catalogues, for editors.
    Schema,
}

pub(crate) fn run(command: &CatalogCommand) -> ExitCode {
    let (text, code) = match command {
        CatalogCommand::Check { file } => check(file),
        CatalogCommand::Price { file, method, path, body, json } => price(file, method, path, body, *json),
        CatalogCommand::Schema => (quittance_quote::catalogue_schema().to_string(), 0),
    };
    match print(&text) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn load(file: &Path) -> Result<Catalogue, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Catalogue::from_toml(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn check(file: &Path) -> (String, u8) {
    match load(file) {
        Ok(catalogue) => {
            let mut lines = vec![format!("{}: ok", catalogue.name())];
            for endpoint in catalogue.endpoints() {
                let pricing = match endpoint.pricing {
                    Pricing::Paid => "paid",
                    Pricing::Free => "free",
                };
                lines.push(format!(
                    "{pricing}  {:6} {}  {}",
                    endpoint.method, endpoint.path, endpoint.summary
                ));
            }
            (lines.join("\n"), 0)
        }
        Err(problem) => (problem, 1),
    }
}

fn price(file: &Path, method: &str, path: &str, body: &str, as_json: bool) -> (String, u8) {
    let catalogue = match load(file) {
        Ok(catalogue) => catalogue,
        Err(problem) => return refused(&problem_value(&problem), as_json),
    };
    let body = match body.strip_prefix('@').map(|file| (file, std::fs::read_to_string(file))) {
        None => body.to_owned(),
        Some((_, Ok(text))) => text,
        Some((file, Err(error))) => {
            return refused(&problem_value(&format!("--body: {file}: {error}")), as_json);
        }
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match catalogue.route(method, path) {
        Route::Unknown => return refused(&unknown_endpoint(&catalogue, method, path), as_json),
        Route::Free => return priced(Amount::ZERO, &[], as_json),
        Route::Paid(_) => {}
    }
    let request =
        PriceRequest { method, path, query, content_type: Some("application/json"), body: body.as_bytes() };
    match catalogue.price(&request) {
        Ok(Price { service, lines, .. }) => {
            let lines: Vec<Value> = lines.iter().map(|line| json!(line)).collect();
            priced(service, &lines, as_json)
        }
        Err(refusal) => refused(&refusal_value(&refusal), as_json),
    }
}

fn priced(service: Amount, lines: &[Value], as_json: bool) -> (String, u8) {
    if as_json {
        return (json!({ "service_usdc": service.to_usdc(), "lines": lines }).to_string(), 0);
    }
    let mut text = Vec::new();
    for line in lines {
        let part = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        text.push(format!(
            "{}: {} × {} {} = {} USD",
            part("label"),
            part("quantity"),
            part("unit_price"),
            part("unit"),
            part("usdc")
        ));
    }
    text.push(format!("service: {} USDC", service.to_usdc()));
    (text.join("\n"), 0)
}

/// Names the endpoints there are, the likeliest first.
fn unknown_endpoint(catalogue: &Catalogue, method: &str, path: &str) -> Value {
    let near = |text: &str| text.trim_matches('/').to_ascii_lowercase();
    let mut listed = catalogue.endpoints();
    listed.sort_by_key(|endpoint| (near(&endpoint.path) != near(path), endpoint.method != method));
    let choices: Vec<String> =
        listed.iter().map(|endpoint| format!("{} {}", endpoint.method, endpoint.path)).collect();
    json!({
        "code": "not_found",
        "field": null,
        "message": format!("there is no endpoint {method} {path}; methods and paths have one spelling"),
        "choices": choices,
    })
}

fn problem_value(problem: &str) -> Value {
    json!({ "message": problem })
}

fn refusal_value(refusal: &Refusal) -> Value {
    json!({
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
        "choices": refusal.choices,
        "status": refusal.status,
        "body": refusal.body,
    })
}

fn refused(error: &Value, as_json: bool) -> (String, u8) {
    let text = if as_json {
        json!({ "error": error }).to_string()
    } else {
        let message = error.get("message").and_then(Value::as_str).unwrap_or("refused");
        let field = error.get("field").and_then(Value::as_str);
        let mut text = field.map_or_else(|| message.to_owned(), |field| format!("{field}: {message}"));
        let choices = error.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !choices.is_empty() {
            let words: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            text.push_str(&format!("\ntaken: {}", words.join(", ")));
        }
        text
    };
    (text, REFUSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imgnai() -> PathBuf {
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../catalogs/imgnai.toml")
    }

    #[test]
    fn a_price_is_one_json_document() {
        let body = r#"{"requests":[{"type":"image","model":"gen","prompt":"a mug","aspect_ratio":"1:1"}]}"#;
        let (text, code) = price(&imgnai(), "POST", "/v1/generation-requests", body, true);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, 0, "{text}");
        assert!(value["service_usdc"].is_string() && value["lines"].is_array(), "{text}");
    }

    #[test]
    fn a_refusal_exits_2_and_names_the_field() {
        let body = r#"{"requests":[{"type":"image","model":"no-such","prompt":"a","aspect_ratio":"1:1"}]}"#;
        let (text, code) = price(&imgnai(), "POST", "/v1/generation-requests", body, true);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, REFUSED);
        assert!(value["error"]["field"].as_str().unwrap().contains("model"), "{text}");
    }

    #[test]
    fn an_unlisted_path_is_refused() {
        assert_eq!(price(&imgnai(), "POST", "/v1//generation-requests", "{}", true).1, REFUSED);
    }

    /// What a new user types, and what the answer must say.
    #[test]
    fn every_refusal_says_what_would_be_taken() {
        let chat = "/v1/chat/completions";
        for (method, path, body, words) in [
            ("post", chat, "{}", "POST /v1/chat/completions, "),
            ("POST", "v1/chat/completions/", "{}", "taken: POST /v1/chat/completions, "),
            ("POST", "/V1/x402", "{}", "taken: GET /v1/x402, "),
            ("POST", chat, "", "the body is empty"),
            ("POST", chat, "hello", "not valid JSON"),
            ("POST", chat, "[1]", "must be a JSON object"),
            ("POST", chat, "@/no/such/file", "--body: /no/such/file: "),
            ("POST", chat, r#"{"model": "gpt"}"#, "claude-haiku-4-5, "),
            ("POST", chat, r#"{"model": "claude-haiku-4-5"}"#, "taken: messages, prompt"),
        ] {
            let (text, code) = price(&imgnai(), method, path, body, false);
            assert_eq!(code, REFUSED, "{text}");
            assert!(text.contains(words), "{words}: {text}");
            let (text, code) = price(&imgnai(), method, path, body, true);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(code, REFUSED);
            assert!(value["error"]["message"].is_string(), "{text}");
        }
        let (text, code) = price(Path::new("/no/such/file"), "POST", chat, "{}", true);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, REFUSED);
        assert!(value["error"]["message"].as_str().unwrap().starts_with("/no/such/file: "), "{text}");
    }

    #[test]
    fn a_body_can_be_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("body.json");
        std::fs::write(&file, r#"{"model": "claude-haiku-4-5", "prompt": "hi"}"#).unwrap();
        let body = format!("@{}", file.display());
        let (text, code) = price(&imgnai(), "POST", "/v1/chat/completions", &body, true);
        assert_eq!((code, text.contains("0.047000")), (0, true), "{text}");
    }
}
