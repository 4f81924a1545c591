use std::collections::BTreeMap;

use conjoint_corpus::{Domain, Text, check};
use serde::Serialize;

use crate::Share;

/// The shares of texts that pass the corpus's checks.
#[doc(alias = "accuracy")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Validity {
    /// Texts that are right in every detail: grammar, agreement, answers, lists.
    pub right: Share,
    /// Texts that parse, right or wrong.
    pub parses: Share,
    /// Right texts by domain.
    pub by_domain: BTreeMap<String, Share>,
}

impl Validity {
    /// Counts a text, which should begin with its domain's tag, as `<story>a red fox …`. A text without a tag neither parses
    /// nor is right.
    pub fn judge(&mut self, text: &str) {
        let Ok(Text { domain, body, .. }) = Text::parse(text) else {
            self.right.count(false);
            self.parses.count(false);
            return;
        };
        let verdict = check(domain, &body);
        self.right.count(verdict.is_ok());
        self.parses.count(verdict.as_ref().map_or_else(|flaw| flaw.parses(), |()| true));
        self.domain(domain).count(verdict.is_ok());
    }

    fn domain(&mut self, domain: Domain) -> &mut Share {
        self.by_domain.entry(domain.to_string()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_corpus::Corpus;

    #[test]
    fn corpus_texts_are_right_and_damaged_ones_are_not() {
        let mut validity = Validity::default();
        Corpus::new(3).texts(0..400).for_each(|text| validity.judge(&text.to_string()));
        assert_eq!(validity.right, Share { passed: 400, n: 400 });
        assert_eq!(validity.by_domain.len(), 4);

        let mut wrong = Validity::default();
        wrong.judge("<math>dan has 8 dates and cooks 6. 8-6=3 dates."); // a wrong answer
        wrong.judge("<math>dan has 8 dates and cooxs 6. 8-6=2 dates."); // a wrong word
        wrong.judge("no tag at all");
        assert_eq!((wrong.right.passed, wrong.parses.passed, wrong.right.n), (0, 1, 3));
        assert_eq!(wrong.by_domain["math"], Share { passed: 0, n: 2 });
    }
}
