//! Laws of the scheduling policies, one module each, named as in `src/policy`.

#[path = "../common/mod.rs"]
mod common;

mod block_states;
mod demask;
mod dilated;
mod early_commit;
mod every_policy;
mod hierarchical;
mod klass;
mod local_leap;
mod origin;
mod saber;
mod selection;
mod slow_fast;
