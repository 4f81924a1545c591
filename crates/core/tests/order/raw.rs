//! `Raw`: an order of the model's rows instead of the filtered ones.

use std::sync::Arc;

use crate::common::{Reveals, blank, generator};
use crate::definition::{assert_follows, assert_leftmost_first, negative_entropy, two_largest};
use conjoint_core::Order;
use conjoint_core::filter::Temperature;
use conjoint_core::order::{Entropy, Margin, MaxProb, Raw};
use conjoint_core::unmasker::Marginal;
use conjoint_testkit::TabularJoint;

#[test]
fn follows_the_definition_of_its_order() {
    assert_follows(Raw(Entropy), |_, row, _| negative_entropy(row));
    assert_leftmost_first(Raw(Entropy));
    assert_follows(Raw(MaxProb), |_, row, _| two_largest(row)[0]);
    assert_leftmost_first(Raw(MaxProb));
}

/// At a low temperature two filtered rows are equal, because both are nearly certain. Their raw rows still differ.
#[test]
fn raw_orders_do_not_saturate() {
    // Independent: position 0 is 60 : 40, position 1 is 90 : 10.
    let joint = TabularJoint::new(2, 2, &[0.54, 0.06, 0.36, 0.04]).unwrap();
    let first = |order: Arc<dyn Order>| {
        let cold =
            generator(&joint, 1, Marginal::new(order)).filter(Temperature::new(0.01).unwrap());
        let mut reveals = Reveals::default();
        cold.run(vec![blank(&joint)], &mut reveals).unwrap();
        reveals.0[0].position
    };
    for raw in
        [Arc::new(Raw(MaxProb)) as Arc<dyn Order>, Arc::new(Raw(Entropy)), Arc::new(Raw(Margin))]
    {
        assert_eq!(first(raw), 1);
    }
    assert_eq!(first(Arc::new(MaxProb)), 0);
}
