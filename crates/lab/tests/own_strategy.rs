//! Registers a strategy, and compares and measures it with the built-in ones.

use std::cell::RefCell;
use std::sync::Arc;

use conjoint::Error as SamplingError;
use conjoint::prelude::*;
use conjoint_lab::comparison::{Beginnings, Comparison, Lines, Metric, Texts};
use conjoint_lab::registry::{Context, HowMany, Part, ScheduleEntry, UnmaskerEntry};
use conjoint_lab::{Bench, Error, Model, Progress, Registry};

/// Reveals the leftmost masked positions.
#[derive(Clone)]
struct Leftmost {
    at_once: usize,
}

impl Unmasker for Leftmost {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, SamplingError> {
        for candidate in view.rows().take(self.at_once) {
            let drawn = view.draw(candidate)?;
            view.reveal(candidate, drawn);
        }
        Ok(Next::EndStep)
    }
}

fn registry() -> Registry {
    let own = UnmaskerEntry::new("leftmost", "the leftmost tokens", |values, _| {
        Ok(Leftmost { at_once: values.count("at-once")? })
    });
    Registry::builtin().with_unmasker(own.parameter("at-once", "4"))
}

fn tiny() -> Arc<Model> {
    conjoint::runtime::ensure().unwrap();
    Model::open(conjoint_models::tiny()).unwrap()
}

fn lines<const N: usize>(names: [&str; N]) -> Lines {
    let registry = registry();
    names.map(|name| registry.line(name).unwrap()).to_vec().into()
}

/// Records the progress.
#[derive(Default)]
struct Recorder(RefCell<Vec<String>>);

impl Progress for Recorder {
    fn generating(&self, what: &str, tokens: u64) -> Box<dyn Observer + '_> {
        self.0.borrow_mut().push(format!("{what}: {tokens}"));
        Box::new(())
    }
}

#[test]
fn an_own_strategy_is_compared_with_the_built_in_ones() {
    let (model, out, recorder) = (tiny(), tempfile::tempdir().unwrap(), Recorder::default());
    let prompt = Beginnings::Prompts(vec!["<story>the".to_owned()]);
    let comparison = Comparison {
        num_samples: 4,
        texts: Texts { beginnings: prompt, length: Some(20), ..Texts::default() },
        metrics: vec![Metric::Right, Metric::Nll],
        ..Comparison::new(lines(["exact", "marginal", "leftmost", "leftmost:2"]).at(Some(vec![4])))
    };
    let report = comparison.run(&model, out.path(), &recorder).unwrap();
    let names: Vec<_> = report.points.iter().map(|p| (&*p.strategy, &*p.parameter)).collect();
    let expected =
        [("exact", "K = 1"), ("marginal", "K = 4"), ("leftmost", ""), ("leftmost:2", "")];
    assert_eq!(names, expected);
    let forwards: Vec<f64> = report.points.iter().map(|p| p.cost.denoiser_calls).collect();
    // 16 tokens a text: one, four, four and two at a time.
    let each = forwards[0] / 16.0;
    assert_eq!(forwards.iter().map(|f| f / each).collect::<Vec<_>>(), [16.0, 4.0, 4.0, 8.0]);
    assert!(report.points.iter().all(|point| point.metrics["NLL"].value.is_finite()));
    assert_eq!(*recorder.0.borrow().first().unwrap(), "exact K = 1, seed 0: 64");

    // The second run reads the folder, and a comparison with other settings does not resume it.
    let again = comparison.run(&model, out.path(), &Recorder::default()).unwrap();
    assert_eq!(again.points, report.points);
    let other = Comparison { num_samples: 5, ..comparison };
    let error = other.run(&model, out.path(), &()).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "out", .. }), "{error}");
}

#[test]
fn an_own_strategy_is_measured_with_the_built_in_ones() {
    let bench = Bench { repeats: 1, gen_length: 8, ..Bench::new(lines(["marginal", "leftmost"])) };
    let bench = Bench { lines: bench.lines.clone().at(Some(vec![4])), ..bench };
    let report = bench.run(&tiny(), &()).unwrap();
    let forwards: Vec<_> = report.runs.iter().map(|run| (&*run.strategy, run.forwards)).collect();
    assert_eq!(forwards, [("marginal", 2), ("leftmost", 2)]);
    assert_eq!(report.table().lines().count(), 4);
}

#[test]
fn entries_declare_their_parts() {
    let own = UnmaskerEntry::new("own-joint", "as joint", |_, context: &Context| {
        Ok(LearnedJoint::new(context.layer()?))
    });
    let own = own.how_many(HowMany::Schedule).takes([Part::Sampler, Part::Order]);
    let slow = ScheduleEntry::new("one", "one token a step", |_| Ok(TokensPerStep::new(1)?));
    let registry = registry().with_unmasker(own).with_schedule(slow);
    assert_eq!(registry.line("own-joint+one").unwrap().name(), "own-joint+one");
    assert!(matches!(registry.line("leftmost+one"), Err(Error::Name(_))));
    let error = registry.line("leftmost+one").unwrap_err().to_string();
    assert!(
        error.contains("'leftmost' does not take it") && error.contains("own-joint"),
        "{error}"
    );

    // With a layer it is made, without one the error says what is missing.
    let (spec, model) = (registry.unmasker("own-joint").unwrap(), tiny());
    let bare = spec.make(&Context::new()).err().unwrap();
    assert!(matches!(bare, Error::Parameter { name: "unmasker", .. }), "{bare}");
    assert!(bare.to_string().contains("needs a sampler layer"), "{bare}");
    let layer = model.sampler_layer(None).unwrap().unwrap();
    assert!(spec.make(&Context::new().with_sampler_layer(layer)).is_ok());
}

#[test]
fn invalid_settings_are_named_before_anything_runs() {
    let comparison = |names: &[&str]| {
        let registry = registry();
        let lines: Vec<_> = names.iter().map(|name| registry.line(name).unwrap()).collect();
        Comparison::new(lines)
    };
    let name = |comparison: Comparison| match comparison.check() {
        Err(
            Error::Parameter { name, .. }
            | Error::Missing { name, .. }
            | Error::Unused { name, .. },
        ) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name(comparison(&[])), "strategies");
    assert_eq!(name(Comparison { num_samples: 1, ..comparison(&["exact"]) }), "num samples");
    assert_eq!(name(Comparison { seeds: vec![], ..comparison(&["exact"]) }), "seeds");
    let mut scored = comparison(&["leftmost"]);
    scored.sampling.scorer = Some("ngram:2:texts.txt".parse().unwrap());
    assert_eq!(name(scored), "scorer");
    assert_eq!(name(Comparison::new(lines(["leftmost"]).at(Some(vec![2])))), "k");

    // Making the strategy finds an invalid parameter, before the folder is claimed.
    let out = tempfile::tempdir().unwrap();
    let free = out.path().join("free");
    let error = comparison(&["exact", "leftmost:many"]).run(&tiny(), &free, &()).unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "unmasker", .. }), "{error}");
    assert!(error.to_string().contains("`at-once` is `many`"), "{error}");
    assert!(!free.exists());
}

#[test]
fn help_texts_have_no_flags() {
    let registry = registry();
    for help in [registry.unmasker_help(), registry.schedule_help(), registry.order_help()] {
        assert!(!help.contains("--"), "{help}");
    }
    assert!(registry.unmasker_help().contains("leftmost:at-once=4"));
}
