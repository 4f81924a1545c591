//! Stories of two sentences: `an old owl sees two red hats. it likes them.`
//!
//! The article is `a` or `an` by the first letter of the next word. The determiner, the noun, its verb and its pronoun
//! agree in number; `the` agrees with both numbers.

use rand::{Rng, RngExt};

use crate::{
    cursor::{Cursor, Spot},
    flaw::Flaw,
    lexicon::{ADJECTIVES, ANIMALS, Number, THINGS, VERBS, pick, stem},
};

/// Singular and plural determiners. The article `a` becomes `an` if the next word requires it.
const OF_ONE: [&str; 3] = ["a", "one", "the"];
const OF_MANY: [&str; 4] = ["some", "the", "three", "two"];

pub(crate) fn generate<R: Rng + ?Sized>(rng: &mut R) -> String {
    let (subject, actor) = noun_phrase(rng, &ANIMALS);
    let (object, target) = noun_phrase(rng, &THINGS);
    let does = actor.verb(pick(rng, &VERBS));
    let does_next = actor.verb(pick(rng, &VERBS));
    let (it, them) = (subject_pronoun(actor), object_pronoun(target));
    format!("{subject} {does} {object}. {it} {does_next} {them}.")
}

/// Draws a noun phrase, with an adjective in three of four cases, and its number.
fn noun_phrase<R: Rng + ?Sized>(rng: &mut R, nouns: &[&str]) -> (String, Number) {
    let number = if rng.random() { Number::One } else { Number::Many };
    let determiner = match number {
        Number::One => pick(rng, &OF_ONE),
        Number::Many => pick(rng, &OF_MANY),
    };
    let mut rest = number.noun(pick(rng, nouns));
    if rng.random_ratio(3, 4) {
        rest = format!("{} {rest}", pick(rng, &ADJECTIVES));
    }
    let determiner = if determiner == "a" { article(&rest) } else { determiner };
    (format!("{determiner} {rest}"), number)
}

/// The article before `next`. In this lexicon the first letter determines it.
fn article(next: &str) -> &'static str {
    if next.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn subject_pronoun(number: Number) -> &'static str {
    match number {
        Number::One => "it",
        Number::Many => "they",
    }
}

fn object_pronoun(number: Number) -> &'static str {
    match number {
        Number::One => "it",
        Number::Many => "them",
    }
}

pub(crate) fn check(body: &str) -> Result<(), Flaw> {
    Story::parse(body)?.judge()
}

/// A parsed story, before the check.
struct Story {
    subject: NounPhrase,
    verb: Verb,
    object: NounPhrase,
    subject_pronoun: Spot<&'static str>,
    next_verb: Verb,
    object_pronoun: Spot<&'static str>,
}

impl Story {
    fn parse(body: &str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(body);
        let subject = NounPhrase::parse(&mut cursor, &ANIMALS, "an animal")?;
        cursor.literal(" ")?;
        let verb = Verb::parse(&mut cursor)?;
        cursor.literal(" ")?;
        let object = NounPhrase::parse(&mut cursor, &THINGS, "a thing")?;
        cursor.literal(". ")?;
        let subject_pronoun = cursor.entry(&["it", "they"], "it or they")?;
        cursor.literal(" ")?;
        let next_verb = Verb::parse(&mut cursor)?;
        cursor.literal(" ")?;
        let object_pronoun = cursor.entry(&["it", "them"], "it or them")?;
        cursor.literal(".")?;
        cursor.end()?;
        Ok(Self { subject, verb, object, subject_pronoun, next_verb, object_pronoun })
    }

    fn judge(&self) -> Result<(), Flaw> {
        let (_, actor) = self.subject.noun.value;
        let (_, target) = self.object.noun.value;
        self.subject.judge()?;
        self.verb.judge(actor)?;
        self.object.judge()?;
        self.subject_pronoun.agree(subject_pronoun(actor))?;
        self.next_verb.judge(actor)?;
        self.object_pronoun.agree(object_pronoun(target))
    }
}

struct NounPhrase {
    determiner: Spot<&'static str>,
    adjective: Option<&'static str>,
    noun: Spot<(&'static str, Number)>,
}

impl NounPhrase {
    fn parse(
        cursor: &mut Cursor<'_>,
        nouns: &[&'static str],
        expected: &'static str,
    ) -> Result<Self, Flaw> {
        let determiners = ["a", "an", "one", "some", "the", "three", "two"];
        let determiner = cursor.entry(&determiners, "a determiner")?;
        cursor.literal(" ")?;
        let adjective = cursor.entry(&ADJECTIVES, "an adjective").ok().map(|found| found.value);
        if adjective.is_some() {
            cursor.literal(" ")?;
        }
        let noun = cursor.noun(nouns, expected)?;
        Ok(Self { determiner, adjective, noun })
    }

    fn judge(&self) -> Result<(), Flaw> {
        let (noun, number) = self.noun.value;
        let expected = match self.determiner.value {
            "a" | "an" | "one" => Number::One,
            "some" | "three" | "two" => Number::Many,
            _ => number,
        };
        self.noun.reads(&expected.noun(noun))?;
        match self.determiner.value {
            "a" | "an" => self.determiner.agree(article(self.adjective.unwrap_or(noun))),
            _ => Ok(()),
        }
    }
}

struct Verb(Spot<(&'static str, Number)>);

impl Verb {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Flaw> {
        let verb = cursor.word("a verb", |word| {
            let (verb, with_s) = stem(&VERBS, word)?;
            Some((verb, if with_s { Number::One } else { Number::Many }))
        })?;
        Ok(Self(verb))
    }

    fn judge(&self, actor: Number) -> Result<(), Flaw> {
        let (verb, number) = self.0.value;
        Spot { at: self.0.at, value: number.verb(verb).as_str() }.agree(&actor.verb(verb))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn right_stories_pass() {
        for body in [
            "an old owl sees two red hats. it likes them.",
            "a red owl sees an old hat. it likes it.",
            "the ants see the egg. they want it.",
            "one ape needs some amber urns. it gets them.",
        ] {
            assert_eq!(check(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn each_agreement_is_checked() {
        for (body, at, word, expected) in [
            ("a old owl sees two red hats. it likes them.", 0, "a", "an"),
            ("an owl sees an hat. it likes it.", 12, "an", "a"),
            ("an old owls see two red hats. they like them.", 7, "owls", "owl"),
            ("three owl see one hat. they like it.", 6, "owl", "owls"),
            ("the owl see one hat. it likes it.", 8, "see", "sees"),
            ("the owls sees one hat. they like it.", 9, "sees", "see"),
            ("the owl sees two hat. it likes it.", 17, "hat", "hats"),
            ("the owl sees the hats. they likes them.", 23, "they", "it"),
            ("the owls see the hats. it like them.", 23, "it", "they"),
            ("the owl sees the hats. it like them.", 26, "like", "likes"),
            ("the owl sees the hats. it likes it.", 32, "it", "them"),
            ("the owl sees the hat. it likes them.", 31, "them", "it"),
        ] {
            let flaw = Flaw::Disagreement { at, word: word.into(), expected: expected.into() };
            assert_eq!(check(body), Err(flaw), "{body}");
        }
    }

    /// The other form of a word, if it has one.
    fn flip(word: &str, last: bool) -> Option<String> {
        match word {
            "a" => Some("an".into()),
            "an" => Some("a".into()),
            "it" => Some(if last { "them" } else { "they" }.into()),
            "they" | "them" => Some("it".into()),
            "one" | "some" | "the" | "three" | "two" => None,
            _ if ADJECTIVES.contains(&word) => None,
            _ => Some(word.strip_suffix('s').map_or_else(|| format!("{word}s"), str::to_owned)),
        }
    }

    #[test]
    fn changing_the_form_of_one_word_is_an_error() {
        let mut rng = ChaCha8Rng::seed_from_u64(31);
        for _ in 0..2000 {
            let body = generate(&mut rng);
            let words: Vec<&str> = body.split(' ').collect();
            for (i, word) in words.iter().enumerate() {
                let (stem, stop) = word.strip_suffix('.').map_or((*word, ""), |stem| (stem, "."));
                let Some(flipped) = flip(stem, i + 1 == words.len()) else { continue };
                let mut words = words.clone();
                let flipped = flipped + stop;
                words[i] = &flipped;
                let body = words.join(" ");
                assert!(matches!(check(&body), Err(Flaw::Disagreement { .. })), "{body}");
            }
        }
    }

    #[test]
    fn the_form_is_checked_first() {
        for (body, at, expected) in [
            ("", 0, "a determiner"),
            ("an owls sees", 12, " "),
            ("a fast owl sees the hat. it likes it.", 2, "an animal"),
            ("the hat sees the owl. it likes it.", 4, "an animal"),
            ("the owl sees the hat. it likes it. ", 34, "the end"),
            ("the owl sees the hat. it likes they.", 31, "it or them"),
        ] {
            assert_eq!(check(body), Err(Flaw::Unparsed { at, expected }), "{body}");
        }
    }
}
