//! Rows of logits: what top-K rows leave unchanged.

#[path = "../common/mod.rs"]
mod common;

mod top_k_rows;
