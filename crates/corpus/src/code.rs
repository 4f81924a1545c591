//! Python functions and an assertion that holds: `def f(x): return x*3⏎assert f(4)==12`.
//!
//! One parameter and a constant, or two parameters, are added, subtracted or multiplied, in either order;
//! constants and arguments are 1 to 9, and a difference is never negative.

use rand::{Rng, RngExt};

use crate::{
    Flaw,
    cursor::{Cursor, Spot},
    lexicon::{pick, pick_distinct},
};

const FUNCTIONS: [&str; 8] = ["f", "g", "h", "p", "q", "r", "s", "t"];
const PARAMETERS: [&str; 12] = ["a", "b", "c", "k", "m", "n", "u", "v", "w", "x", "y", "z"];
const OPERATORS: [&str; 3] = ["+", "-", "*"];

pub(crate) fn generate<R: Rng + ?Sized>(rng: &mut R) -> String {
    let f = pick(rng, &FUNCTIONS);
    let parameters = pick_distinct(rng, &PARAMETERS, 2);
    let (x, y) = (parameters[0], parameters[1]);
    let op = pick(rng, &OPERATORS);
    let (mut l, mut r): (i64, i64) = (rng.random_range(1..=9), rng.random_range(1..=9));
    if op == "-" && l < r {
        (l, r) = (r, l);
    }
    let answer = apply(l, op, r);
    // Two parameters twice as often as one: there are more such texts.
    match rng.random_range(0..6) {
        0 => format!("def {f}({x}): return {x}{op}{r}\nassert {f}({l})=={answer}"),
        1 => format!("def {f}({x}): return {l}{op}{x}\nassert {f}({r})=={answer}"),
        2 | 3 => format!("def {f}({x},{y}): return {x}{op}{y}\nassert {f}({l},{r})=={answer}"),
        _ => format!("def {f}({x},{y}): return {y}{op}{x}\nassert {f}({r},{l})=={answer}"),
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

/// A program as it was read, its names and numbers not yet compared.
struct Program {
    defined: Spot<&'static str>,
    /// One or two.
    parameters: Vec<Spot<&'static str>>,
    left: Operand,
    operator: &'static str,
    right: Operand,
    called: Spot<&'static str>,
    /// As many as parameters.
    arguments: Vec<Spot<u32>>,
    answer: u32,
}

impl Program {
    fn parse(body: &str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(body);
        cursor.literal("def ")?;
        let defined = cursor.entry(&FUNCTIONS, "a function name")?;
        cursor.literal("(")?;
        let mut parameters = vec![cursor.entry(&PARAMETERS, "a parameter")?];
        if cursor.skip(",") {
            parameters.push(cursor.entry(&PARAMETERS, "a parameter")?);
        }
        cursor.literal("): return ")?;
        let one = parameters.len() == 1;
        let left = Operand::parse(&mut cursor, one)?;
        let operator = cursor.symbol(&OPERATORS, "+, - or *")?.value;
        let right = match left {
            Operand::Parameter(_) if one => Operand::Constant(cursor.number()?),
            _ => Operand::parse(&mut cursor, false)?,
        };
        cursor.literal("\nassert ")?;
        let called = cursor.entry(&FUNCTIONS, "a function name")?;
        cursor.literal("(")?;
        let mut arguments = vec![cursor.number()?];
        if !one {
            cursor.literal(",")?;
            arguments.push(cursor.number()?);
        }
        cursor.literal(")==")?;
        let answer = cursor.number()?.value;
        cursor.end()?;
        Ok(Self { defined, parameters, left, operator, right, called, arguments, answer })
    }

    fn judge(&self) -> Result<(), Flaw> {
        if let [first, second] = self.parameters[..]
            && first.value == second.value
        {
            return Err(second.disagreement("another parameter"));
        }
        self.called.agree(self.defined.value)?;
        for argument in &self.arguments {
            argument.within(1, 9)?;
        }
        let values = self.arguments.iter().map(|argument| argument.value.into());
        let mut unused =
            self.parameters.iter().map(|parameter| parameter.value).zip(values).collect();
        let left = self.left.value(&mut unused)?;
        let right = self.right.value(&mut unused)?;
        let (got, expected) = (self.answer.into(), apply(left, self.operator, right));
        if got == expected { Ok(()) } else { Err(Flaw::WrongAnswer { got, expected }) }
    }
}

/// A side of the operator.
enum Operand {
    Parameter(Spot<&'static str>),
    Constant(Spot<u32>),
}

impl Operand {
    fn parse(cursor: &mut Cursor<'_>, may_be_constant: bool) -> Result<Self, Flaw> {
        match cursor.entry(&PARAMETERS, "a parameter") {
            Ok(parameter) => Ok(Self::Parameter(parameter)),
            Err(_) if may_be_constant => Ok(Self::Constant(cursor.number()?)),
            Err(flaw) => Err(flaw),
        }
    }

    /// The value, taking a parameter out of those `unused`: each is used once.
    fn value(&self, unused: &mut Vec<(&str, i64)>) -> Result<i64, Flaw> {
        match self {
            Self::Constant(constant) => constant.within(1, 9).map(|()| constant.value.into()),
            Self::Parameter(parameter) => {
                match unused.iter().position(|&(name, _)| name == parameter.value) {
                    Some(i) => Ok(unused.remove(i).1),
                    None => {
                        let names: Vec<_> = unused.iter().map(|&(name, _)| name).collect();
                        Err(parameter.disagreement(names.join(" or ")))
                    }
                }
            }
        }
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
            "def g(a,b): return a*b\nassert g(3,4)==12",
            "def q(u,k): return k-u\nassert q(3,7)==4",
        ] {
            assert_eq!(check(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn the_assertion_must_hold() {
        for (body, got, expected) in [
            ("def f(x): return x*3\nassert f(4)==7", 7, 12),
            ("def f(x): return 3-x\nassert f(4)==1", 1, -1),
            ("def q(u,k): return k-u\nassert q(7,3)==4", 4, -4),
        ] {
            assert_eq!(check(body), Err(Flaw::WrongAnswer { got, expected }), "{body}");
        }
    }

    #[test]
    fn names_must_agree() {
        for (body, at, word, expected) in [
            ("def f(x): return x*3\nassert g(4)==12", 28, "g", "f"),
            ("def f(x): return y*3\nassert f(4)==12", 17, "y", "x"),
            ("def g(a,b): return c*b\nassert g(3,4)==12", 19, "c", "a or b"),
            ("def g(a,b): return a*a\nassert g(3,4)==9", 21, "a", "b"),
            ("def g(a,a): return a*a\nassert g(3,4)==16", 8, "a", "another parameter"),
        ] {
            let flaw = Flaw::Disagreement { at, word: word.into(), expected: expected.into() };
            assert_eq!(check(body), Err(flaw), "{body}");
        }
    }

    #[test]
    fn numbers_stay_in_range() {
        let flaw = |at, got| Err(Flaw::OutOfRange { at, got, low: 1, high: 9 });
        assert_eq!(check("def f(x): return x*0\nassert f(4)==0"), flaw(19, 0));
        assert_eq!(check("def f(x): return x*3\nassert f(10)==30"), flaw(30, 10));
    }

    #[test]
    fn the_form_is_demanded_first() {
        for (body, at, expected) in [
            ("def x(f): return f*3\nassert x(4)==12", 4, "a function name"),
            ("def f(x): return x/3\nassert f(6)==2", 18, "+, - or *"),
            ("def f(x): return x**2\nassert f(6)==36", 19, "a number"),
            ("def f(x): return 2*3\nassert f(6)==6", 19, "a parameter"),
            ("def g(a,b): return a*3\nassert g(1,2)==3", 21, "a parameter"),
            ("def g(a,b): return a*b\nassert g(1)==3", 33, ","),
            ("def f(x): return x*3 assert f(4)==12", 20, "\nassert "),
            ("def f(x): return x*3\nassert f(4)==12\n", 36, "the end"),
        ] {
            assert_eq!(check(body), Err(Flaw::Unparsed { at, expected }), "{body}");
        }
    }
}
