use std::{fmt, str::FromStr};

use rand::Rng;

use crate::{Error, Flaw, code, list, math, story};

/// A kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// Two sentences whose articles, numbers and pronouns agree.
    Story,
    /// An arithmetic word problem with its worked answer.
    Math,
    /// A Python function and an assertion about it that holds.
    Code,
    /// A list of names and what a task makes of it.
    List,
}

impl Domain {
    /// Every domain.
    pub const ALL: [Self; 4] = [Self::Story, Self::Math, Self::Code, Self::List];

    /// The mark a text of this domain begins with, `<story>` say; meant to be one token.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Story => "<story>",
            Self::Math => "<math>",
            Self::Code => "<code>",
            Self::List => "<list>",
        }
    }

    /// Draws one body, of any length.
    pub(crate) fn generate<R: Rng + ?Sized>(self, rng: &mut R) -> String {
        match self {
            Self::Story => story::generate(rng),
            Self::Math => math::generate(rng),
            Self::Code => code::generate(rng),
            Self::List => list::generate(rng),
        }
    }
}

impl fmt::Display for Domain {
    /// Writes the name, `story` say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag().trim_matches(['<', '>']))
    }
}

impl FromStr for Domain {
    type Err = Error;

    /// Reads the name, `story` say.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownDomain`] for anything but the four names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|domain| domain.to_string() == name)
            .ok_or_else(|| Error::UnknownDomain { got: name.into() })
    }
}

/// Decides whether `body`, a text without its tag, is right in `domain`.
///
/// The whole body must have the domain's form and be right in every detail: a body passes if and only if
/// the domain's generator can write it, save that the generator's texts are short
/// (see [`MAX_LEN`](crate::MAX_LEN)). Any string may be asked about.
///
/// # Errors
///
/// The first [`Flaw`] found.
pub fn check(domain: Domain, body: &str) -> Result<(), Flaw> {
    match domain {
        Domain::Story => story::check(body),
        Domain::Math => math::check(body),
        Domain::Code => code::check(body),
        Domain::List => list::check(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for domain in Domain::ALL {
            assert_eq!(domain.to_string().parse(), Ok(domain));
            assert_eq!(domain.tag(), format!("<{domain}>"));
        }
        let got = String::from("<story>");
        assert_eq!(got.parse::<Domain>(), Err(Error::UnknownDomain { got }));
    }
}
