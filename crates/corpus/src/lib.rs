//! Unlimited short texts with strict dependencies, and the checks that decide whether one is right.
//!
//! A model that reveals several tokens at once goes wrong where tokens depend on each other. This crate
//! makes texts in which they do, in four [`Domain`]s small enough for a character-level model, and decides
//! by program whether a text is right:
//!
//! | domain | a text | what must fit together |
//! |---|---|---|
//! | [`Story`](Domain::Story) | `an old owl sees two red hats. it likes them.` | article, number, pronouns |
//! | [`Math`](Domain::Math) | `ann has 7 figs and buys 8. 7+8=15 figs.` | operands, operator, answer, noun |
//! | [`Code`](Domain::Code) | `def f(x): return x*3⏎assert f(4)==12` | names, and the assertion holds |
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
//! // What a model wrote is split by its tag, then judged.
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

/// The version of the texts and their checks: a model trained on one, or a figure taken by one, cannot be
/// compared with those of another. 2: lists may repeat a name.
pub const VERSION: u32 = 2;

pub use corpus::{Corpus, MAX_LEN};
pub use domain::{Domain, check};
pub use error::Error;
pub use flaw::Flaw;
pub use text::Text;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
