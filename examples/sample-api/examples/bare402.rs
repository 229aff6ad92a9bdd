//! The baseline of `scripts/bench`: what a 402 costs without a gate. Parses the
//! same JSON body and answers 402 with as many bytes, and does nothing else.
//!
//! `bare402 --listen 127.0.0.1:0 --workers 2 --header-bytes 2000 --body-bytes 300`

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
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
    #[arg(long, default_value_t = 300)]
    body_bytes: usize,
}

struct Offer {
    header: String,
    body: String,
}

async fn offer(offer: web::Data<Offer>, _body: web::Json<Value>) -> HttpResponse {
    HttpResponse::build(StatusCode::PAYMENT_REQUIRED)
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("payment-required", offer.header.as_str()))
        .body(offer.body.clone())
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let fixed = web::Data::new(Offer {
        header: "A".repeat(arguments.header_bytes),
        body: "A".repeat(arguments.body_bytes),
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
