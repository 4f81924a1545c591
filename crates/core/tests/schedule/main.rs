//! Laws of the schedules, one module each, named as in `src/schedule`.

#[path = "../common/mod.rs"]
mod common;

mod cosine;
mod dream_linear;
mod entropy_bound;
mod factor;
mod laws;
mod linear;
mod llada_even;
mod threshold;
mod tokens_per_step;
