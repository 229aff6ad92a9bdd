//! Rates from sources that lie, hang, age and disagree.

mod feeds;
mod server;
mod table;
