//! Laws of the filters, one module each, named as in `src/filter`.

#[path = "../common/mod.rs"]
mod common;

mod constrain;
mod credit;
mod min_length;
mod min_p;
mod penalty;
mod repetition_penalty;
mod sequential;
mod temperature;
mod top_k;
mod top_p;
mod truncation;
