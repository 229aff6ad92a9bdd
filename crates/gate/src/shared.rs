//! What every request of every worker sees.

use std::sync::Arc;

use quittance_facilitator::{Callers, Places};
use quittance_quote::Pricer;
use quittance_receipts::Issuer;

use crate::bytes::{Budgets, SharedBody};
use crate::cors::Cors;
use crate::discovery::listed::{AccountSecurity, Document, Listed};
use crate::facilitate::Facilitate;
use crate::hooks::{ClosedFor, Hooks};
use crate::limits::Limits;
use crate::monitor::Monitor;
use crate::pricing::Pricing;

/// One gate, as its host built it.
pub(crate) struct Shared {
    pub(crate) facilitator: Arc<dyn Facilitate>,
    pub(crate) pricer: Arc<dyn Pricer>,
    pub(crate) public_url: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) cors: Cors,
    pub(crate) callers: Callers,
    pub(crate) places: Places<SharedBody>,
    pub(crate) bodies: Budgets,
    pub(crate) pricing: Pricing,
    pub(crate) listed: Vec<Listed>,
    /// Of what is listed, each once.
    pub(crate) methods: Vec<String>,
    pub(crate) documents: Vec<Document>,
    pub(crate) account_security: Vec<AccountSecurity>,
    pub(crate) hooks: Hooks,
    pub(crate) closed: Option<Box<ClosedFor>>,
    pub(crate) exact_paths: bool,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) receipts: Option<Issuer>,
}
