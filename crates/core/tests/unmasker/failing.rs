//! A second model that always fails.

use std::ops::Range;

use crate::common::{blank, generator};
use conjoint_core::strategy::Strategy;
use conjoint_core::{Autoregressive, DenseRows, Error, TokenId};
use conjoint_testkit::TabularJoint;

#[derive(Clone)]
pub struct Failing;

impl Autoregressive for Failing {
    fn rows(&self, _: &[TokenId], _: Range<usize>) -> Result<DenseRows, Error> {
        Err(Error::model("the second model is down"))
    }
}

/// Fails unless a run with `strategy` returns the error of its second model.
pub fn assert_error_is_returned(strategy: impl Into<Strategy>) {
    let joint = TabularJoint::random(3, 2, 1.0, 1).unwrap();
    let error = generator(&joint, 2, strategy).run(vec![blank(&joint)], &mut ()).unwrap_err();
    assert!(error.to_string().contains("is down"), "{error}");
}
