//! The generator: runs, batches, blocks, sessions, guidance and where sequences end.

#[path = "../common/mod.rs"]
mod common;

mod attention_blocks;
mod batch;
mod blocks;
mod branches;
mod flat;
mod guidance;
mod hidden_states;
mod model;
mod narrowing;
mod observer;
mod run;
mod session;
mod settings;
mod skipped_steps;
mod stop;
mod unmasker_errors;
mod value_stability;
