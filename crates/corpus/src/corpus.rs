use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{domain::Domain, error::Error, lexicon::pick, text::Text};

/// The largest number of characters in a generated body. With its tag and one end token, such a body fills 48 positions.
pub const MAX_LEN: usize = 46;

/// An unlimited sequence of right texts, in domains that are drawn uniformly.
///
/// A text depends only on the seed, the domains and its index: text `i` is drawn from stream `i` of a ChaCha8 generator.
/// Texts can be generated in any order, and are the same on every machine.
///
/// ```
/// use conjoint_corpus::{Corpus, Domain};
///
/// let stories = Corpus::new(7).with_domains(&[Domain::Story])?;
/// let first: Vec<String> = stories.texts(0..3).map(|text| text.body).collect();
/// assert_eq!(first[2], stories.text(2).body);
/// # Ok::<(), conjoint_corpus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    seed: u64,
    domains: Vec<Domain>,
}

impl Corpus {
    /// A corpus of all domains. Different seeds give independent corpora.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, domains: Domain::ALL.to_vec() }
    }

    /// Draws from these domains only. A domain that is listed twice is drawn twice as often.
    ///
    /// # Errors
    ///
    /// [`Error::NoDomain`] if `domains` is empty.
    pub fn with_domains(mut self, domains: &[Domain]) -> Result<Self, Error> {
        if domains.is_empty() {
            return Err(Error::NoDomain);
        }
        self.domains = domains.to_vec();
        Ok(self)
    }

    /// Generates the text at `index`.
    #[must_use]
    pub fn text(&self, index: u64) -> Text {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(index);
        let domain = pick(&mut rng, &self.domains);
        Text { domain, body: short_body(domain, &mut rng) }
    }

    /// Generates the texts at these indices, in order. `texts(0..)` is unlimited.
    pub fn texts<I>(&self, indices: I) -> impl Iterator<Item = Text>
    where
        I: IntoIterator<Item = u64>,
    {
        indices.into_iter().map(|index| self.text(index))
    }

    /// The characters of bodies, without those of tags, sorted by code.
    pub fn alphabet() -> &'static str {
        "\n ()*+-.0123456789:=>abcdefghijklmnopqrstuvwxyz"
    }
}

/// Draws bodies until one is short enough. Only stories need further draws: one in three.
fn short_body<R: Rng + ?Sized>(domain: Domain, rng: &mut R) -> String {
    loop {
        let body = domain.generate(rng);
        if body.len() <= MAX_LEN {
            return body;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_alphabet_equals_the_characters_of_the_texts() {
        let used: BTreeSet<char> = Corpus::new(1)
            .texts(0..20_000)
            .flat_map(|text| text.body.chars().collect::<Vec<_>>())
            .collect();
        assert_eq!(used.into_iter().collect::<String>(), Corpus::alphabet());
    }

    #[test]
    fn domains_are_drawn_uniformly() {
        for domain in Domain::ALL {
            let count =
                Corpus::new(2).texts(0..10_000).filter(|text| text.domain == domain).count();
            // Mean 2500, standard deviation 43: a false alarm at five of them is one in a million.
            assert!(count.abs_diff(2500) < 217, "{domain}: {count}");
        }
    }

    #[test]
    fn only_the_given_domains_are_drawn() {
        let corpus = Corpus::new(3).with_domains(&[Domain::Code]).unwrap();
        assert!(corpus.texts(0..100).all(|text| text.domain == Domain::Code));
        assert_eq!(Corpus::new(3).with_domains(&[]), Err(Error::NoDomain));
    }

    #[test]
    fn texts_depend_on_seed_and_index() {
        let first = |seed| Corpus::new(seed).texts(0..20).collect::<Vec<_>>();
        assert_eq!(first(4), first(4));
        assert_ne!(first(4), first(5));
        assert_ne!(Corpus::new(4).text(0), Corpus::new(4).text(u64::MAX));
    }
}
