//! `VerifiedJoint`: its law is that of one token a forward, whatever the layer drafts, and it costs what its docs say.

use conjoint_core::SamplerLayer;
use conjoint_core::unmasker::VerifiedJoint;
use conjoint_testkit::NoisyRefiner;

mod law;
mod run;

/// A layer that is always wrong in the same way.
pub fn noisy() -> NoisyRefiner {
    NoisyRefiner::new(1.5, 1).unwrap()
}

pub fn verified(layer: impl SamplerLayer + 'static, k: usize) -> VerifiedJoint {
    VerifiedJoint::new(layer, k).unwrap()
}
