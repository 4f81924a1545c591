//! The caches of the registry pass the conformance suite of sessions.

use std::sync::Arc;

use conjoint::{Canvas, Denoiser};
use conjoint_lab::Registry;
use conjoint_testkit::{CachedDenoiser, TabularDenoiser, TabularJoint, conformance};

use super::parts::specs;

#[test]
fn every_cache_passes_the_suite_of_sessions() {
    let joint = |length| TabularJoint::random(length, 2, 0.7, 5).unwrap();
    let oracle = TabularDenoiser::new(joint(6)).unwrap().and(joint(4)).unwrap();
    let canvases = [
        Canvas::unconditional(6, 2).unwrap().in_block(2..5).unwrap(),
        Canvas::new(&[1, 0], 4, 2).unwrap(),
        Canvas::unconditional(4, 2).unwrap(),
    ];
    let registry = Registry::builtin();
    let mut cached = 0;
    for entry in registry.caches() {
        for spec in specs(entry.name(), entry.conformance()) {
            let Some(policy) = registry.cache(&spec).unwrap().policy() else { continue };
            let model = CachedDenoiser::new(oracle.clone()).with_cache(policy);
            let model: Arc<dyn Denoiser> = Arc::new(model);
            conformance::session(&spec, &model, &canvases, 0.0).unwrap();
            cached += 1;
        }
    }
    assert!(cached > registry.caches().count());
}
