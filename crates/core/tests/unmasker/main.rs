//! Laws of the unmaskers, one module each, named as in `src/unmasker`.

#[path = "../common/mod.rs"]
mod common;
#[macro_use]
mod exactness;

mod adaptive_joint;
mod clipped_joint;
mod confidence;
mod copula;
mod drafted_steps;
mod energy_resampling;
mod exact_sequential;
mod failing;
mod learned_joint;
mod learned_joint_window;
mod local_autoregression;
mod marginal;
mod path_planning;
mod prefix_acceptance;
mod remdm;
mod teacher_forced;
mod verified_joint;
