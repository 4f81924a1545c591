//! Laws of the orders, one module each, named as in `src/order`.

#[path = "../common/mod.rs"]
mod common;

mod certainty_prior;
mod definition;
mod entropy;
mod left_to_right;
mod margin;
mod max_prob;
mod pc_sampler;
mod plackett_luce;
mod random;
mod raw;
