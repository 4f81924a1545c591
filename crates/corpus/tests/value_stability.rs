//! Pins what each domain draws: a change here is a breaking change, as it changes every trained model's data.

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
            "dan has 8 dates and cooks 6. 8-6=2 dates.",
            "zoe has 20 buns and eats 7. 20-7=13 buns.",
            "hal has 11 eggs and eats 3. 11-3=8 eggs.",
        ],
    );
}

#[test]
fn code() {
    pin(
        Domain::Code,
        [
            "def g(n): return n+7\nassert g(7)==14",
            "def t(y,a): return a+y\nassert t(5,7)==12",
            "def h(w,a): return w-a\nassert h(3,3)==0",
        ],
    );
}

#[test]
fn lists() {
    pin(
        Domain::List,
        [
            "copy: ora pam -> ora pam",
            "replace bob ora: hal bob -> hal ora",
            "reverse: ora eve val -> val eve ora",
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
            "<code>def r(z,w): return w*z\nassert r(4,5)==20",
            "<code>def t(m,c): return c-m\nassert t(8,8)==0",
            "<list>sort: bob ora dan -> bob dan ora",
        ]
    );
}
