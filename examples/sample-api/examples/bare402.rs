//! The baseline of `scripts/bench`: what a 402 costs without a gate. Parses the
//! same JSON body and answers 402 with as many bytes under the same headers, and
//! does nothing else.
//!
//! `bare402 --listen 127.0.0.1:0 --workers 2 --header-bytes 2000 --body-bytes 1000
//! --header cache-control=no-store`

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser;
use serde_json::Value;

#[derive(Clone, Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Length of the PAYMENT-REQUIRED header.
    #[arg(long, default_value_t = 2_000)]
    header_bytes: usize,
    /// Length of the body.
    #[arg(long, default_value_t = 1_000)]
    body_bytes: usize,
    /// One more header of the answer, NAME=VALUE.
    #[arg(long = "header", value_parser = name_and_value)]
    headers: Vec<Header>,
}

type Header = (HeaderName, HeaderValue);

const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static("payment-required");

fn name_and_value(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once('=').ok_or("a header is NAME=VALUE")?;
    let name = name.parse().map_err(|_| format!("{name} is no header name"))?;
    Ok((name, value.parse().map_err(|_| format!("{value} is no header value"))?))
}

struct Offer {
    header: String,
    body: String,
    headers: Vec<Header>,
}

async fn offer(offer: web::Data<Offer>, _body: web::Json<Value>) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::PAYMENT_REQUIRED);
    answer.insert_header((CONTENT_TYPE, "application/json"));
    answer.insert_header((PAYMENT_REQUIRED, offer.header.as_str()));
    for header in &offer.headers {
        answer.insert_header(header.clone());
    }
    answer.body(offer.body.clone())
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let fixed = web::Data::new(Offer {
        header: "A".repeat(arguments.header_bytes),
        body: "A".repeat(arguments.body_bytes),
        headers: arguments.headers,
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(fixed.clone())
            .app_data(web::JsonConfig::default().limit(64 * 1024))
            .route("/v1/generation-requests", web::post().to(offer))
    })
    .workers(arguments.workers)
    .bind(&arguments.listen)?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}");
    }
    server.run().await
}
