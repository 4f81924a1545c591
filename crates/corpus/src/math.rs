//! Word problems with their answers: `ann has 7 figs and buys 8. 7+8=15 figs.`
//!
//! The verb determines the operator. The equation repeats the operands and the noun. The answer is right, and the noun
//! after it agrees in number.

use rand::{Rng, RngExt};

use crate::{
    cursor::{Cursor, Spot},
    flaw::Flaw,
    lexicon::{FOODS, GAINS, LOSSES, NAMES, Number, pick},
};

pub(crate) fn generate<R: Rng + ?Sized>(rng: &mut R) -> String {
    let (name, food) = (pick(rng, &NAMES), pick(rng, &FOODS));
    let gain: bool = rng.random();
    let had: u32 = if gain { rng.random_range(2..=9) } else { rng.random_range(3..=12) };
    let change = rng.random_range(2..=if gain { 9 } else { 9.min(had - 1) });
    let (verb, sign, left) = if gain {
        (pick(rng, &GAINS), '+', had + change)
    } else {
        (pick(rng, &LOSSES), '-', had - change)
    };
    let counted = Number::of(left.into()).noun(food);
    format!("{name} has {had} {food}s and {verb} {change}. {had}{sign}{change}={left} {counted}.")
}

pub(crate) fn check(body: &str) -> Result<(), Flaw> {
    Problem::parse(body)?.judge()
}

/// A parsed problem, before the check.
struct Problem {
    had: Spot<u32>,
    food: Spot<(&'static str, Number)>,
    verb: &'static str,
    change: Spot<u32>,
    left: Spot<u32>,
    sign: Spot<&'static str>,
    right: Spot<u32>,
    answer: Spot<u32>,
    counted: Spot<(&'static str, Number)>,
}

impl Problem {
    fn parse(body: &str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(body);
        cursor.entry(&NAMES, "a name")?;
        cursor.literal(" has ")?;
        let had = cursor.number()?;
        cursor.literal(" ")?;
        let food = cursor.noun(&FOODS, "a food")?;
        cursor.literal(" and ")?;
        let verb = cursor.entry(&[GAINS, LOSSES].concat(), "a verb")?.value;
        cursor.literal(" ")?;
        let change = cursor.number()?;
        cursor.literal(". ")?;
        let left = cursor.number()?;
        let sign = cursor.symbol(&["+", "-"], "+ or -")?;
        let right = cursor.number()?;
        cursor.literal("=")?;
        let answer = cursor.number()?;
        cursor.literal(" ")?;
        let counted = cursor.noun(&FOODS, "a food")?;
        cursor.literal(".")?;
        cursor.end()?;
        Ok(Self { had, food, verb, change, left, sign, right, answer, counted })
    }

    fn judge(&self) -> Result<(), Flaw> {
        let (had, change) = (self.had.value, self.change.value);
        let (sign, expected) = if GAINS.contains(&self.verb) {
            self.had.within(2, 9)?;
            self.change.within(2, 9)?;
            ("+", had + change)
        } else {
            self.had.within(3, 12)?;
            self.change.within(2, 9.min(had - 1))?;
            ("-", had - change)
        };
        self.sign.agree(sign)?;
        self.left.repeats(had)?;
        self.right.repeats(change)?;
        if self.answer.value != expected {
            return Err(Flaw::WrongAnswer {
                got: self.answer.value.into(),
                expected: expected.into(),
            });
        }
        let (food, _) = self.food.value;
        self.food.reads(&Number::Many.noun(food))?;
        self.counted.reads(&Number::of(expected.into()).noun(food))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_problems_pass() {
        for body in [
            "ann has 7 figs and buys 8. 7+8=15 figs.",
            "tom has 12 eggs and eats 8. 12-8=4 eggs.",
            "zoe has 9 yams and sells 8. 9-8=1 yam.",
        ] {
            assert_eq!(check(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn words_and_operands_must_agree() {
        for (body, at, word, expected) in [
            ("ann has 7 figs and buys 8. 7-8=15 figs.", 28, "-", "+"),
            ("ann has 9 figs and eats 8. 9+8=17 figs.", 28, "+", "-"),
            ("ann has 7 figs and buys 8. 6+8=14 figs.", 27, "6", "7"),
            ("ann has 7 figs and buys 8. 7+9=16 figs.", 29, "9", "8"),
            ("ann has 7 fig and buys 8. 7+8=15 figs.", 10, "fig", "figs"),
            ("ann has 7 figs and buys 8. 7+8=15 fig.", 34, "fig", "figs"),
            ("ann has 7 figs and buys 8. 7+8=15 eggs.", 34, "eggs", "figs"),
            ("zoe has 9 yams and sells 8. 9-8=1 yams.", 34, "yams", "yam"),
        ] {
            let flaw = Flaw::Disagreement { at, word: word.into(), expected: expected.into() };
            assert_eq!(check(body), Err(flaw), "{body}");
        }
    }

    #[test]
    fn a_wrong_answer_is_reported() {
        let flaw = |got, expected| Err(Flaw::WrongAnswer { got, expected });
        assert_eq!(check("ann has 7 figs and buys 8. 7+8=14 figs."), flaw(14, 15));
        assert_eq!(check("tom has 12 eggs and eats 8. 12-8=5 eggs."), flaw(5, 4));
    }

    #[test]
    fn numbers_stay_in_range() {
        let flaw = |at, got, low, high| Err(Flaw::OutOfRange { at, got, low, high });
        assert_eq!(check("ann has 13 figs and buys 8. 13+8=21 figs."), flaw(8, 13, 2, 9));
        assert_eq!(check("ann has 7 figs and buys 1. 7+1=8 figs."), flaw(24, 1, 2, 9));
        assert_eq!(check("tom has 0 eggs and eats 0. 0-0=0 eggs."), flaw(8, 0, 3, 12));
        assert_eq!(check("tom has 5 eggs and eats 5. 5-5=0 eggs."), flaw(24, 5, 2, 4));
    }

    #[test]
    fn the_form_is_checked_first() {
        for (body, at, expected) in [
            ("abe has 7 figs", 0, "a name"),
            ("ann has 13 figs and buys 8. 13+8=21 figs", 40, "."),
            ("ann has 7 figs and buys 8. 7+8=015 figs.", 31, "a number"),
            ("ann has 7 figs and buys 8. 7*8=56 figs.", 28, "+ or -"),
            ("ann has 7 figs and buys 8. 7+8=15 figs.\n", 39, "the end"),
        ] {
            assert_eq!(check(body), Err(Flaw::Unparsed { at, expected }), "{body}");
        }
    }
}
