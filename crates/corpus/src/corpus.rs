use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Domain, Error, Text, lexicon::pick};

/// The most characters a generated body has: with its tag and one end token it fills 48 positions.
pub const MAX_LEN: usize = 46;

/// An endless sequence of texts, each of them right, in domains drawn uniformly.
///
/// A text depends on the seed, the domains and its index alone: index `i` is drawn from stream `i` of a
/// ChaCha8 generator, so texts can be asked for in any order and are the same on every machine.
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
    pub fn new(seed: u64) -> Self {
        Self { seed, domains: Domain::ALL.to_vec() }
    }

    /// Draws from these domains only; one named twice is drawn twice as often.
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

    /// The text at `index`.
    pub fn text(&self, index: u64) -> Text {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(index);
        let domain = pick(&mut rng, &self.domains);
        Text { domain, body: short_body(domain, &mut rng) }
    }

    /// The texts at these indices, in order; `texts(0..)` never ends.
    pub fn texts<I>(&self, indices: I) -> impl Iterator<Item = Text>
    where
        I: IntoIterator<Item = u64>,
    {
        indices.into_iter().map(|index| self.text(index))
    }

    /// Every character a body may contain, in the order of their codes; tags are not included.
    pub fn alphabet() -> &'static str {
        "\n ()*+-.0123456789:=>abcdefghijklmnopqrstuvwxyz"
    }
}

/// Draws bodies until one is short enough. Only stories ever need a second draw, one in three of them.
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
    fn the_alphabet_is_what_the_texts_use() {
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
    fn only_the_domains_asked_for_are_drawn() {
        let corpus = Corpus::new(3).with_domains(&[Domain::Code]).unwrap();
        assert!(corpus.texts(0..100).all(|text| text.domain == Domain::Code));
        assert_eq!(Corpus::new(3).with_domains(&[]), Err(Error::NoDomain));
    }

    #[test]
    fn seeds_and_indices_matter() {
        let first = |seed| Corpus::new(seed).texts(0..20).collect::<Vec<_>>();
        assert_eq!(first(4), first(4));
        assert_ne!(first(4), first(5));
        assert_ne!(Corpus::new(4).text(0), Corpus::new(4).text(u64::MAX));
    }
}
