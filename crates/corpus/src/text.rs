use std::fmt;

use crate::{Domain, Error};

/// A body and the domain it belongs to, right or not.
///
/// Displayed as the tag directly followed by the body, which [`Text::parse`] reads back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    /// The domain, written as a tag.
    pub domain: Domain,
    /// The text after the tag.
    pub body: String,
}

impl Text {
    /// Splits a tagged text such as `<list>copy: tom ann -> tom ann`. The body is not judged.
    ///
    /// # Errors
    ///
    /// [`Error::NoTag`] if `tagged` begins with no domain's tag.
    pub fn parse(tagged: &str) -> Result<Self, Error> {
        Domain::ALL
            .into_iter()
            .find_map(|domain| {
                let body = tagged.strip_prefix(domain.tag())?.into();
                Some(Self { domain, body })
            })
            .ok_or_else(|| Error::NoTag { got: tagged.into() })
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
        fn any_body_is_read_back(domain in prop::sample::select(&Domain::ALL[..]), body in ".*") {
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
