//! One route, whichever server it is mounted in.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::Method;

use crate::call::{Answered, Call};
use crate::host::Host;

/// What answers a route.
pub(crate) type Handler = fn(Arc<Host>, Call) -> BoxFuture<'static, Answered>;

/// One route; `{name}` in its path stands for a whole segment, as in actix and in axum.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) handler: Handler,
}

impl Route {
    pub(crate) const fn get(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::GET, path, handler }
    }

    pub(crate) const fn post(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::POST, path, handler }
    }
}
