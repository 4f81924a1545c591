//! A server of models/tiny, asked over HTTP.

mod answers;
mod browser;
mod client;
mod limits;
mod page;
mod streams;
