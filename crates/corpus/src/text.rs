use std::fmt;

use crate::{domain::Domain, error::Error};

/// A body and its domain. The body may be wrong; see [`check`](crate::check).
///
/// Displays as the tag directly followed by the body, which [`Text::parse`] parses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    /// The domain, which determines the tag.
    pub domain: Domain,
    /// The text after the tag.
    pub body: String,
}

impl Text {
    /// Splits a tagged text such as `<list>copy: tom ann -> tom ann`, without a check of the body.
    ///
    /// # Errors
    ///
    /// [`Error::NoTag`] if `tagged` does not begin with a domain's tag.
    pub fn parse(tagged: &str) -> Result<Self, Error> {
        Domain::ALL
            .into_iter()
            .find_map(|domain| {
                let body = tagged.strip_prefix(domain.tag())?.into();
                Some(Self { domain, body })
            })
            .ok_or_else(|| Error::NoTag { got: tagged.into() })
    }

    /// The part of the body that states a task, up to its answer: a word problem, a function and the asserted call, or a
    /// task and its list. `None` for stories, and for bodies without the separator before the answer.
    #[doc(alias = "prompt")]
    ///
    /// ```
    /// use conjoint_corpus::Text;
    /// let text = Text::parse("<math>ann has 7 figs and buys 8. 7+8=15 figs.")?;
    /// assert_eq!(text.question(), Some("ann has 7 figs and buys 8. "));
    /// # Ok::<(), conjoint_corpus::Error>(())
    /// ```
    pub fn question(&self) -> Option<&str> {
        let ending = match self.domain {
            Domain::Story => return None,
            Domain::Math => ". ",
            Domain::Code => "==",
            Domain::List => "-> ",
        };
        let end = self.body.find(ending)? + ending.len();
        Some(&self.body[..end])
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.domain.tag(), self.body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_round_trips(domain in prop::sample::select(&Domain::ALL[..]), body in ".*") {
            let text = Text { domain, body };
            prop_assert_eq!(Text::parse(&text.to_string()), Ok(text));
        }
    }

    #[test]
    fn a_text_without_tag_is_an_error() {
        for tagged in ["", "story", "<stor", " <story>", "<poem>"] {
            assert_eq!(Text::parse(tagged), Err(Error::NoTag { got: tagged.into() }));
        }
    }
}
