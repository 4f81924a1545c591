//! Pins the texts of each domain. A change is a breaking change: it alters the data of every trained model, and requires a
//! new `conjoint_corpus::VERSION`.

use conjoint_corpus::{Corpus, Domain};

#[track_caller]
fn pin(domain: Domain, expected: [&str; 3]) {
    let corpus = Corpus::new(7).with_domains(&[domain]).unwrap();
    let bodies: Vec<_> = corpus.texts(0..3).map(|text| text.body).collect();
    assert_eq!(bodies, expected);
}

#[test]
fn stories() {
    pin(
        Domain::Story,
        [
            "one cow takes some new pans. it hears them.",
            "an ivory ant likes the pink bag. it sees it.",
            "the icy crow finds the cold map. it buys it.",
        ],
    );
}

#[test]
fn math() {
    pin(
        Domain::Math,
        [
            "dan has 5 dates and cooks 4. 5-4=1 date.",
            "zoe has 12 buns and eats 7. 12-7=5 buns.",
            "hal has 7 eggs and eats 3. 7-3=4 eggs.",
        ],
    );
}

#[test]
fn code() {
    pin(
        Domain::Code,
        [
            "def f(c): return 7+c\nassert f(7)==14",
            "def t(b): return b+6\nassert t(7)==13",
            "def h(k): return k-3\nassert h(4)==1",
        ],
    );
}

#[test]
fn lists() {
    pin(
        Domain::List,
        [
            "copy: eve eve gus -> eve eve gus",
            "replace zoe kim: cal ann zoe -> cal ann kim",
            "reverse: hal jay kim -> kim jay hal",
        ],
    );
}

#[test]
fn all_domains() {
    let texts: Vec<_> =
        Corpus::new(7).texts(u64::MAX - 3..u64::MAX).map(|text| text.to_string()).collect();
    assert_eq!(
        texts,
        [
            "<code>def p(a): return a*4\nassert p(5)==20",
            "<code>def s(u): return u-4\nassert s(4)==0",
            "<list>sort: cal ned kim -> cal kim ned",
        ]
    );
}
