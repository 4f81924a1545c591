//! Compares custom parts, registered by name, with the built-in ones on a real model.

use conjoint::strategy::Strategy;
use conjoint_lab::comparison::{Beginnings, Comparison, Lines, Metric, Texts};
use conjoint_lab::registry::{HowMany, Part, ReviserEntry, ScheduleEntry, UnmaskerEntry};
use conjoint_lab::{Model, Registry};
use conjoint_outside::{Joint, KlassRule, NarrowOut, Outermost, klass, wino};

fn registry() -> Registry {
    let own_klass =
        UnmaskerEntry::new("own-klass", "KLASS, implemented again", |values, context| {
            let (tau, epsilon) = (values.number("tau")?, values.number("epsilon")?);
            Ok(klass(KlassRule::new(tau, epsilon, 2, context.schedule())?))
        });
    let own_wino = UnmaskerEntry::new("own-wino", "WINO, implemented again", |values, _| {
        Ok(wino(values.number("reveal")?, values.number("keep")?))
    });
    let own_joint = UnmaskerEntry::new("own-joint", "joint, implemented again", |_, context| {
        Ok(Joint::new(context.layer()?))
    });
    let ends = UnmaskerEntry::new("ends", "joint from both ends", |_, context| {
        Ok(Strategy::new(Joint::new(context.layer()?)).policy(Outermost))
    });
    let outermost = ScheduleEntry::policy("outermost", "the outermost two", |_| Ok(Outermost));
    let narrow_out = ReviserEntry::new("narrow-out", "WINO's", |values| {
        Ok(NarrowOut::new(values.number("keep")?))
    });
    Registry::builtin()
        .with_unmasker(
            own_klass
                .parameter("tau", "0.9")
                .parameter("epsilon", "0.01")
                .how_many(HowMany::Schedule),
        )
        .with_unmasker(own_wino.parameter("reveal", "0.6").parameter("keep", "0.9"))
        .with_unmasker(own_joint.how_many(HowMany::Schedule).takes([Part::Sampler, Part::Order]))
        .with_unmasker(ends.takes([Part::Sampler]))
        .with_schedule(outermost)
        .with_reviser(narrow_out.parameter("keep", "0.9"))
}

#[test]
fn a_comparison_with_parts_of_ones_own() {
    conjoint::runtime::ensure().unwrap();
    let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny")).unwrap();
    let pairs = [
        ["klass", "own-klass"],
        ["wino", "own-wino"],
        ["joint", "own-joint"],
        ["joint+outermost", "ends"],
        ["marginal/wino", "marginal/narrow-out"],
    ];
    let registry = registry();
    let names = pairs.concat().into_iter().chain(["marginal", "marginal+outermost"]);
    let lines: Vec<_> = names.map(|name| registry.line(name).unwrap()).collect();
    let comparison = Comparison {
        num_samples: 4,
        texts: Texts {
            beginnings: Beginnings::Prompts(vec!["<story>the".to_owned()]),
            length: Some(24),
            packed: false,
        },
        metrics: vec![Metric::Right, Metric::Nll],
        ..Comparison::new(Lines::new(lines).at(Some(vec![4])))
    };
    let out = tempfile::tempdir().unwrap();
    let report = comparison.run(&model, out.path(), &()).unwrap();

    let point = |name: &str| report.points.iter().find(|point| point.strategy == name).expect(name);
    for [built_in, own] in pairs {
        let (built_in, own) = (point(built_in), point(own));
        assert_eq!(own.metrics, built_in.metrics, "{}", own.strategy);
        assert_eq!(own.cost.denoiser_calls, built_in.cost.denoiser_calls, "{}", own.strategy);
        assert_eq!(own.cost.sampler_calls, built_in.cost.sampler_calls, "{}", own.strategy);
    }
    let calls = |name| point(name).cost.denoiser_calls;
    assert_eq!(calls("marginal+outermost"), 2.0 * calls("marginal"));
    let table = report.markdown();
    assert!(table.contains("own-klass") && table.contains("marginal+outermost"), "{table}");
    assert!(out.path().join("report.json").is_file());
}
