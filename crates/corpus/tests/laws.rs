//! Laws that hold between generators and checkers, domain by domain.

use std::collections::HashSet;

use conjoint_corpus::{Corpus, Domain, Flaw, MAX_LEN, Text, check};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn bodies(domain: Domain, seed: u64, count: u64) -> Vec<String> {
    let corpus = Corpus::new(seed).with_domains(&[domain]).unwrap();
    corpus.texts(0..count).map(|text| text.body).collect()
}

#[test]
fn every_text_is_right_and_short() {
    for domain in Domain::ALL {
        for body in bodies(domain, 11, 20_000) {
            assert_eq!(check(domain, &body), Ok(()), "{body:?}");
            assert!(body.is_ascii() && body.len() <= MAX_LEN, "{body:?}");
        }
    }
}

/// Domains with few possible texts repeat some. The test prints the shares of distinct texts.
#[test]
fn texts_are_varied() {
    for (domain, least) in
        [(Domain::Story, 0.999), (Domain::Math, 0.9), (Domain::Code, 0.8), (Domain::List, 0.8)]
    {
        let bodies = bodies(domain, 12, 20_000);
        let distinct = bodies.iter().collect::<HashSet<_>>().len() as f64 / bodies.len() as f64;
        println!("{domain}: {distinct:.4} distinct");
        assert!(distinct > least, "{domain}: {distinct}");
    }
}

/// `body` with one character, at a random place, replaced by another of the alphabet.
fn substitute<R: Rng>(rng: &mut R, body: &str) -> String {
    let alphabet = Corpus::alphabet().as_bytes();
    let mut bytes = body.as_bytes().to_vec();
    let at = rng.random_range(0..bytes.len());
    let old = bytes[at];
    while bytes[at] == old {
        bytes[at] = alphabet[rng.random_range(0..alphabet.len())];
    }
    String::from_utf8(bytes).unwrap()
}

/// `body` without one character at a random place.
fn delete<R: Rng>(rng: &mut R, body: &str) -> String {
    let mut body = body.to_owned();
    body.remove(rng.random_range(0..body.len()));
    body
}

#[test]
fn one_changed_character_is_rejected() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    for domain in Domain::ALL {
        let bodies = bodies(domain, 14, 20_000);
        let mut share = |change: fn(&mut ChaCha8Rng, &str) -> String| {
            let rejected =
                bodies.iter().filter(|body| check(domain, &change(&mut rng, body)).is_err());
            rejected.count() as f64 / bodies.len() as f64
        };
        let (substituted, deleted) = (share(substitute), share(delete));
        println!("{domain}: {substituted:.4} of substitutions, {deleted:.4} of deletions rejected");
        assert!(substituted > 0.95, "{domain}: {substituted}");
        assert!(deleted > 0.95, "{domain}: {deleted}");
    }
}

#[test]
fn an_added_character_is_rejected() {
    for domain in Domain::ALL {
        for body in bodies(domain, 15, 200) {
            for c in Corpus::alphabet().chars().chain(['é', '\0']) {
                assert!(check(domain, &format!("{c}{body}")).is_err());
                assert!(check(domain, &format!("{body}{c}")).is_err());
            }
        }
    }
}

#[test]
fn a_prefix_is_unparsed_near_its_end() {
    for domain in Domain::ALL {
        for body in bodies(domain, 16, 200) {
            let cut = &body[..body.len() / 2];
            match check(domain, cut) {
                // A truncated word or number is reported at its start.
                Err(Flaw::Unparsed { at, .. }) => assert!(at <= cut.len() && cut.len() - at <= 8),
                other => panic!("{cut:?}: {other:?}"),
            }
        }
    }
}

/// The answer follows the question: the text's own answer is right, and most other answers are wrong.
#[test]
fn questions_end_before_their_answers() {
    let answers = |text: &Text| {
        let question = text.question()?;
        Some((question.to_owned(), text.body[question.len()..].to_owned()))
    };
    let texts: Vec<Text> = Corpus::new(5).texts(0..300).collect();
    let tasks: Vec<_> = texts.iter().filter_map(|text| Some((text, answers(text)?))).collect();
    assert!(texts.iter().all(|text| (text.domain == Domain::Story) == text.question().is_none()));
    for (text, (question, answer)) in &tasks {
        assert!(!answer.is_empty() && check(text.domain, &text.body).is_ok());
        let swapped = tasks.iter().map(|(_, (_, other))| format!("{question}{other}"));
        let right = swapped.filter(|body| check(text.domain, body).is_ok()).count();
        // Few answers of other texts are right by chance.
        assert!(right >= 1 && right < tasks.len() / 4, "{text}: {right}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        rng_seed: prop::test_runner::RngSeed::Fixed(17),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_string_can_be_checked(domain in prop::sample::select(&Domain::ALL[..]), body in ".*") {
        prop_assert!(check(domain, &body).is_err());
    }

    #[test]
    fn any_damaged_text_can_be_checked(
        domain in prop::sample::select(&Domain::ALL[..]),
        index in any::<u64>(),
        at in any::<prop::sample::Index>(),
        garbage in ".{0,3}",
    ) {
        let body = Corpus::new(18).with_domains(&[domain]).unwrap().text(index).body;
        let (left, right) = body.split_at(at.index(body.len()));
        // The check must not panic, and accepted texts must be in the alphabet.
        let damaged = format!("{left}{garbage}{right}");
        if check(domain, &damaged).is_ok() {
            prop_assert!(damaged.chars().all(|c| Corpus::alphabet().contains(c)));
        }
    }
}
