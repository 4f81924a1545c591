//! Short synthetic texts with strict dependencies between tokens, and checks that judge whether a text is right.
//!
//! A model that reveals several tokens at once makes mistakes where tokens depend on each other. This crate generates any
//! number of texts with such dependencies, in four [`Domain`]s that a small character-level model can learn, and checks
//! texts in the same domains:
//!
//! | domain | example | dependencies |
//! |---|---|---|
//! | [`Story`](Domain::Story) | `an old owl sees two red hats. it likes them.` | article, number, pronouns |
//! | [`Math`](Domain::Math) | `ann has 7 figs and buys 8. 7+8=15 figs.` | operands, operator, answer, noun |
//! | [`Code`](Domain::Code) | `def f(x): return x*3⏎assert f(4)==12` | names, and the value of the assertion |
//! | [`List`](Domain::List) | `reverse: tom ann lea -> lea ann tom` | the list on the right |
//!
//! Each body has at most [`MAX_LEN`] characters of [`Corpus::alphabet`].
//!
//! # Example
//!
//! ```
//! use conjoint_corpus::{Corpus, Domain, Flaw, Text, check};
//!
//! let corpus = Corpus::new(7);
//! for text in corpus.texts(0..100) {
//!     check(text.domain, &text.body)?;
//! }
//!
//! // A text that a model wrote: split off its tag, then check it.
//! let text = Text::parse("<math>ann has 7 figs and buys 8. 7+8=16 figs.").unwrap();
//! let flaw = check(text.domain, &text.body).unwrap_err();
//! assert_eq!(flaw, Flaw::WrongAnswer { got: 16, expected: 15 });
//! assert!(flaw.parses());
//! # Ok::<(), Flaw>(())
//! ```

mod code;
mod corpus;
mod cursor;
mod domain;
mod error;
mod flaw;
mod lexicon;
mod list;
mod math;
mod story;
mod text;

/// The version of the texts and their checks. Models and figures of different versions cannot be compared.
///
/// Changes in version 2: lists may repeat a name.
pub const VERSION: u32 = 2;

pub use corpus::{Corpus, MAX_LEN};
pub use domain::{Domain, check};
pub use error::Error;
pub use flaw::Flaw;
pub use text::Text;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
