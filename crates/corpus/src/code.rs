//! Python functions and an assertion that holds: `def f(x): return x*3⏎assert f(4)==12`.
//!
//! The function adds, subtracts or multiplies its parameter and a constant, in either order. Constants and arguments are
//! 2 to 9. Generated differences are not negative.

use rand::{Rng, RngExt};

use crate::{
    cursor::{Cursor, Spot},
    flaw::Flaw,
    lexicon::pick,
};

const FUNCTIONS: [&str; 14] =
    ["d", "e", "f", "g", "h", "i", "j", "l", "o", "p", "q", "r", "s", "t"];
const PARAMETERS: [&str; 12] = ["a", "b", "c", "k", "m", "n", "u", "v", "w", "x", "y", "z"];
const OPERATORS: [&str; 3] = ["+", "-", "*"];

pub(crate) fn generate<R: Rng + ?Sized>(rng: &mut R) -> String {
    let (f, x) = (pick(rng, &FUNCTIONS), pick(rng, &PARAMETERS));
    let op = pick(rng, &OPERATORS);
    let (mut l, mut r): (i64, i64) = (rng.random_range(2..=9), rng.random_range(2..=9));
    if op == "-" && l < r {
        (l, r) = (r, l);
    }
    let answer = apply(l, op, r);
    if rng.random() {
        format!("def {f}({x}): return {x}{op}{r}\nassert {f}({l})=={answer}")
    } else {
        format!("def {f}({x}): return {l}{op}{x}\nassert {f}({r})=={answer}")
    }
}

fn apply(left: i64, operator: &str, right: i64) -> i64 {
    match operator {
        "+" => left + right,
        "-" => left - right,
        _ => left * right,
    }
}

pub(crate) fn check(body: &str) -> Result<(), Flaw> {
    Program::parse(body)?.judge()
}

/// A parsed program, before the check.
struct Program {
    defined: Spot<&'static str>,
    parameter: Spot<&'static str>,
    used: Spot<&'static str>,
    operator: &'static str,
    constant: Spot<u32>,
    /// Whether the parameter is the left operand.
    parameter_first: bool,
    called: Spot<&'static str>,
    argument: Spot<u32>,
    answer: u32,
}

impl Program {
    fn parse(body: &str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(body);
        cursor.literal("def ")?;
        let defined = cursor.entry(&FUNCTIONS, "a function name")?;
        cursor.literal("(")?;
        let parameter = cursor.entry(&PARAMETERS, "a parameter")?;
        cursor.literal("): return ")?;
        let operator = |cursor: &mut Cursor<'_>| cursor.symbol(&OPERATORS, "+, - or *");
        let first = cursor.clone().number();
        let (parameter_first, used, operator, constant) = match first {
            Err(_) => {
                let used = cursor.entry(&PARAMETERS, "a parameter or a number")?;
                let operator = operator(&mut cursor)?.value;
                (true, used, operator, cursor.number()?)
            }
            Ok(_) => {
                let constant = cursor.number()?;
                let operator = operator(&mut cursor)?.value;
                (false, cursor.entry(&PARAMETERS, "a parameter")?, operator, constant)
            }
        };
        cursor.literal("\nassert ")?;
        let called = cursor.entry(&FUNCTIONS, "a function name")?;
        cursor.literal("(")?;
        let argument = cursor.number()?;
        cursor.literal(")==")?;
        let answer = cursor.number()?.value;
        cursor.end()?;
        Ok(Self {
            defined,
            parameter,
            used,
            operator,
            constant,
            parameter_first,
            called,
            argument,
            answer,
        })
    }

    fn judge(&self) -> Result<(), Flaw> {
        self.used.agree(self.parameter.value)?;
        self.called.agree(self.defined.value)?;
        self.constant.within(2, 9)?;
        self.argument.within(2, 9)?;
        let (argument, constant) = (self.argument.value.into(), self.constant.value.into());
        let (left, right) =
            if self.parameter_first { (argument, constant) } else { (constant, argument) };
        let (got, expected) = (self.answer.into(), apply(left, self.operator, right));
        if got == expected { Ok(()) } else { Err(Flaw::WrongAnswer { got, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_programs_pass() {
        for body in [
            "def f(x): return x*3\nassert f(4)==12",
            "def h(n): return 9-n\nassert h(9)==0",
            "def q(k): return k-3\nassert q(7)==4",
        ] {
            assert_eq!(check(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn the_assertion_must_hold() {
        for (body, got, expected) in [
            ("def f(x): return x*3\nassert f(4)==7", 7, 12),
            ("def f(x): return 3-x\nassert f(4)==1", 1, -1),
            ("def q(k): return k-7\nassert q(3)==4", 4, -4),
        ] {
            assert_eq!(check(body), Err(Flaw::WrongAnswer { got, expected }), "{body}");
        }
    }

    #[test]
    fn names_must_agree() {
        for (body, at, word, expected) in [
            ("def f(x): return x*3\nassert g(4)==12", 28, "g", "f"),
            ("def f(x): return y*3\nassert f(4)==12", 17, "y", "x"),
            ("def g(a): return 4+b\nassert g(3)==7", 19, "b", "a"),
        ] {
            let flaw = Flaw::Disagreement { at, word: word.into(), expected: expected.into() };
            assert_eq!(check(body), Err(flaw), "{body}");
        }
    }

    #[test]
    fn numbers_stay_in_range() {
        let flaw = |at, got| Err(Flaw::OutOfRange { at, got, low: 2, high: 9 });
        assert_eq!(check("def f(x): return x*0\nassert f(4)==0"), flaw(19, 0));
        assert_eq!(check("def f(x): return x*3\nassert f(10)==30"), flaw(30, 10));
    }

    #[test]
    fn the_form_is_checked_first() {
        for (body, at, expected) in [
            ("def x(f): return f*3\nassert x(4)==12", 4, "a function name"),
            ("def f(x): return x/3\nassert f(6)==2", 18, "+, - or *"),
            ("def f(x): return x**2\nassert f(6)==36", 19, "a number"),
            ("def f(x): return 2*3\nassert f(6)==6", 19, "a parameter"),
            ("def f(x): return +3\nassert f(6)==9", 17, "a parameter or a number"),
            ("def g(a,b): return a*b\nassert g(1,2)==2", 7, "): return "),
            ("def f(x): return x*3 assert f(4)==12", 20, "\nassert "),
            ("def f(x): return x*3\nassert f(4)==12\n", 36, "the end"),
        ] {
            assert_eq!(check(body), Err(Flaw::Unparsed { at, expected }), "{body}");
        }
    }
}
