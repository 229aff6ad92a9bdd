//! `/status` for people: the state of everything, and one payment's whole story, as pages made here.
//!
//! What stands on them was written by payers, nodes and upstreams, too: every text goes through the
//! templates' escaping, no page runs a script but the one whose hash its policy names, and nothing
//! can be changed from here. A page reads the ledger over a connection of its own, by indexes, at
//! most once a second for all who look; sums over a day are made in the background, at their own
//! pace. So whoever reloads holds up no payment.

mod board;
pub(crate) mod calls;
mod layout;
mod look;
mod networks;
mod overview;
mod search;
mod sequence;
mod story;
#[cfg(test)]
mod tests;
mod words;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use maud::Markup;

pub(crate) use self::board::Board;

/// Pages made at once; more are told to come again.
const PAGES_MAX: usize = 4;

/// Where all of them are.
const ROOT: &str = "/status";

/// Whether a path is one of theirs; [`ROOT`] itself is JSON for programs.
pub(crate) fn is_page(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether the asker of [`ROOT`] is a browser: those ask for HTML by name, programs do not.
pub(crate) fn wants_page(req: &HttpRequest) -> bool {
    let accepted = req.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|line| line.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html")))
}

/// A page, for whoever may see it: the caller has looked at that.
pub(crate) async fn answer(board: &Board, req: &HttpRequest) -> HttpResponse {
    if !is_asked_by_address(req) || is_embedded(req) {
        return not_found();
    }
    let Ok(_place) = board.places.try_acquire() else {
        return HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "1")).finish();
    };
    let path = req.path().strip_prefix(ROOT).unwrap_or_default().trim_start_matches('/');
    match path.split_once('/') {
        None if path.is_empty() => {
            let light = board.light().await;
            page(StatusCode::OK, overview::page(&light))
        }
        None if path == "search" => searched(board, req).await,
        None if path == "calls" => match board.calls() {
            Some(calls) => page(StatusCode::OK, sequence::list(&calls.all(), board.now_ms())),
            None => not_found(),
        },
        Some(("calls", number)) => called(board, number).await,
        Some(("payments", id)) => match board.story(id).await {
            Ok(Some(told)) => page(StatusCode::OK, story::page(&told)),
            Ok(None) => page(StatusCode::NOT_FOUND, search::nothing(id)),
            Err(error) => page(StatusCode::SERVICE_UNAVAILABLE, search::silent(&error)),
        },
        _ => not_found(),
    }
}

/// One of the last calls, with what the ledger has of its payment.
async fn called(board: &Board, number: &str) -> HttpResponse {
    let number = number.parse().ok();
    let Some(call) = board.calls().zip(number).and_then(|(calls, number)| calls.one(number)) else {
        return not_found();
    };
    let told = match call.payment.as_ref().and_then(|shown| shown.key) {
        Some(key) => board.story_of_key(key).await,
        None => Ok(None),
    };
    let told = told.as_ref().map(Option::as_ref).map_err(String::as_str);
    page(StatusCode::OK, sequence::page(&call, told))
}

async fn searched(board: &Board, req: &HttpRequest) -> HttpResponse {
    let sought = look::sought(req.query_string());
    match board.search(&sought).await {
        Ok(found) if found.len() == 1 => match found.first() {
            Some(payment) => {
                let to = format!("{ROOT}/payments/{}", payment.id);
                let mut redirect = HttpResponse::SeeOther();
                redirect.insert_header((LOCATION, to)).insert_header((CACHE_CONTROL, "no-store")).finish()
            }
            None => not_found(),
        },
        Ok(found) if found.is_empty() => page(StatusCode::NOT_FOUND, search::nothing(&sought)),
        Ok(found) => page(StatusCode::OK, search::list(&sought, &found, board.now_ms())),
        Err(error) => page(StatusCode::SERVICE_UNAVAILABLE, search::silent(&error)),
    }
}

fn page(status: StatusCode, markup: Markup) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_SECURITY_POLICY, layout::POLICY.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
        .insert_header(("Cross-Origin-Resource-Policy", "same-origin"))
        .content_type("text/html; charset=utf-8")
        .body(markup.into_string())
}

fn not_found() -> HttpResponse {
    HttpResponse::NotFound().insert_header((CACHE_CONTROL, "no-store")).finish()
}

/// Asked for by an address, or as `localhost`: a name of somebody else's that was made to point here
/// (DNS rebinding) would let that somebody's page read these from the operator's browser.
pub(crate) fn is_asked_by_address(req: &HttpRequest) -> bool {
    let Some(host) = req.headers().get(HOST).and_then(|host| host.to_str().ok()) else {
        // HTTP/2 says it in the URI, HTTP/1.0 may say nothing; a browser always does.
        return req.uri().host().is_none_or(is_address);
    };
    is_address(without_port(host))
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, _)) => inside,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_address(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// Asked for by a page of somebody else's, and not followed as a link by a person.
fn is_embedded(req: &HttpRequest) -> bool {
    let said = |name: &str| req.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said("Sec-Fetch-Site") == "cross-site" && said("Sec-Fetch-Mode") != "navigate"
}
