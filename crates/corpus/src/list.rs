//! Tasks on lists of names, after ParallelBench's waiting line: `reverse: tom ann lea -> lea ann tom`.
//!
//! A generated list has three names, drawn independently, so that a name may repeat. The check accepts two to four names.
//! A name to remove or replace must be in the list; the task applies to its first occurrence. Every task has one right
//! answer, except a shuffle, for which every order is right.

use rand::{Rng, RngExt, seq::SliceRandom};

use crate::{
    cursor::{Cursor, Spot},
    flaw::Flaw,
    lexicon::{NAMES, pick},
};

/// The number of names in a generated list.
const LENGTH: usize = 3;

pub(crate) fn generate<R: Rng + ?Sized>(rng: &mut R) -> String {
    let task = rng.random_range(0..6);
    let list: [_; LENGTH] = std::array::from_fn(|_| pick(rng, &NAMES));
    let (chosen, newcomer) = (rng.random_range(0..LENGTH), pick(rng, &NAMES));
    let chosen = (0..LENGTH).find(|&i| list[i] == list[chosen]).unwrap_or(chosen);

    let mut answer = list.to_vec();
    let task = match task {
        0 => "copy".into(),
        1 => {
            answer.reverse();
            "reverse".into()
        }
        2 => {
            answer.sort_unstable();
            "sort".into()
        }
        3 => {
            answer.shuffle(rng);
            "shuffle".into()
        }
        4 => format!("remove {}", answer.remove(chosen)),
        _ => {
            answer[chosen] = newcomer;
            format!("replace {} {newcomer}", list[chosen])
        }
    };
    format!("{task}: {} -> {}", list.join(" "), answer.join(" "))
}

/// Replaces the first `old` in `list` by `new`, or removes it. `None` if `old` is not in the list.
fn edited(
    list: &[&'static str],
    old: &str,
    new: Option<&'static str>,
) -> Option<Vec<&'static str>> {
    let at = list.iter().position(|&name| name == old)?;
    let mut list = list.to_vec();
    list.splice(at..=at, new);
    Some(list)
}

pub(crate) fn check(body: &str) -> Result<(), Flaw> {
    Exercise::parse(body)?.judge()
}

/// A parsed task with its list and answer, before the check.
struct Exercise {
    task: Task,
    list: Vec<Spot<&'static str>>,
    answer: Vec<&'static str>,
}

enum Task {
    Copy,
    Reverse,
    Sort,
    Shuffle,
    Remove(Spot<&'static str>),
    Replace(Spot<&'static str>, &'static str),
}

impl Exercise {
    fn parse(body: &str) -> Result<Self, Flaw> {
        let mut cursor = Cursor::new(body);
        let task = Task::parse(&mut cursor)?;
        cursor.literal(": ")?;
        let list = names(&mut cursor, 4)?;
        if list.len() < 2 {
            return Err(cursor.unparsed("a second name"));
        }
        cursor.literal(" -> ")?;
        let answer = names(&mut cursor, usize::MAX)?.iter().map(|name| name.value).collect();
        cursor.end()?;
        Ok(Self { task, list, answer })
    }

    fn judge(&self) -> Result<(), Flaw> {
        let list: Vec<_> = self.list.iter().map(|name| name.value).collect();
        let expected = self.task.answer(&list)?;
        let right = match self.task {
            Task::Shuffle => sorted(&self.answer) == sorted(&expected),
            _ => self.answer == expected,
        };
        if right {
            Ok(())
        } else {
            Err(Flaw::WrongList { got: self.answer.join(" "), expected: expected.join(" ") })
        }
    }
}

impl Task {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Flaw> {
        let task =
            cursor.entry(&["copy", "remove", "replace", "reverse", "shuffle", "sort"], "a task")?;
        let mut name = || {
            cursor.literal(" ")?;
            cursor.entry(&NAMES, "a name")
        };
        Ok(match task.value {
            "copy" => Self::Copy,
            "remove" => Self::Remove(name()?),
            "replace" => Self::Replace(name()?, name()?.value),
            "reverse" => Self::Reverse,
            "shuffle" => Self::Shuffle,
            _ => Self::Sort,
        })
    }

    /// The right answer; for a shuffle, one of them.
    fn answer(&self, list: &[&'static str]) -> Result<Vec<&'static str>, Flaw> {
        match self {
            Self::Copy | Self::Shuffle => Ok(list.to_vec()),
            Self::Reverse => Ok(list.iter().rev().copied().collect()),
            Self::Sort => Ok(sorted(list)),
            Self::Remove(old) => edited(list, old.value, None).ok_or_else(|| missing(old)),
            Self::Replace(old, new) => {
                edited(list, old.value, Some(new)).ok_or_else(|| missing(old))
            }
        }
    }
}

fn missing(name: &Spot<&'static str>) -> Flaw {
    name.disagreement("a name in the list")
}

fn sorted(list: &[&'static str]) -> Vec<&'static str> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list
}

/// Parses one to `most` names.
fn names(cursor: &mut Cursor<'_>, most: usize) -> Result<Vec<Spot<&'static str>>, Flaw> {
    let mut names = vec![cursor.entry(&NAMES, "a name")?];
    while names.len() < most {
        let mut ahead = cursor.clone();
        if !ahead.skip(" ") {
            break;
        }
        let Ok(name) = ahead.entry(&NAMES, "a name") else { break };
        names.push(name);
        *cursor = ahead;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_lists_pass() {
        for body in [
            "copy: tom ann lea -> tom ann lea",
            "reverse: tom ann lea bob -> bob lea ann tom",
            "sort: tom ann lea -> ann lea tom",
            "shuffle: tom ann lea -> tom ann lea",
            "shuffle: tom ann lea -> lea tom ann",
            "remove ann: tom ann lea -> tom lea",
            "remove ann: tom ann -> tom",
            "replace ann bob: tom ann lea -> tom bob lea",
            "copy: tom ann tom -> tom ann tom",
            "sort: tom ann tom -> ann tom tom",
            "remove tom: tom ann tom -> ann tom",
            "replace tom bob: tom ann tom -> bob ann tom",
            "replace tom ann: tom ann lea -> ann ann lea",
        ] {
            assert_eq!(check(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn the_answer_must_be_right() {
        for (body, got, expected) in [
            ("copy: tom ann lea -> tom lea ann", "tom lea ann", "tom ann lea"),
            ("reverse: tom ann lea -> tom ann lea", "tom ann lea", "lea ann tom"),
            ("sort: tom ann lea -> ann tom lea", "ann tom lea", "ann lea tom"),
            ("shuffle: tom ann lea -> lea tom tom", "lea tom tom", "tom ann lea"),
            ("shuffle: tom ann -> tom ann tom", "tom ann tom", "tom ann"),
            ("shuffle: tom ann tom -> tom ann ann", "tom ann ann", "tom ann tom"),
            ("remove ann: tom ann lea -> lea tom", "lea tom", "tom lea"),
            ("remove tom: tom ann tom -> tom ann", "tom ann", "ann tom"),
            ("replace ann bob: tom ann -> bob ann", "bob ann", "tom bob"),
        ] {
            let flaw = Flaw::WrongList { got: got.into(), expected: expected.into() };
            assert_eq!(check(body), Err(flaw), "{body}");
        }
    }

    #[test]
    fn a_name_to_change_must_be_in_the_list() {
        for (body, at) in
            [("remove bob: tom ann -> tom ann", 7), ("replace bob lea: tom ann -> tom ann", 8)]
        {
            let expected = "a name in the list".into();
            let flaw = Flaw::Disagreement { at, word: "bob".into(), expected };
            assert_eq!(check(body), Err(flaw), "{body}");
        }
    }

    #[test]
    fn the_form_is_checked_first() {
        for (body, at, expected) in [
            ("rotate: tom ann -> ann tom", 0, "a task"),
            ("remove: tom ann -> ann", 6, " "),
            ("copy ann: tom ann -> tom ann", 4, ": "),
            ("copy: tom -> tom", 9, "a second name"),
            ("copy: ann bob cal dan eve -> ann", 21, " -> "),
            ("copy: tom tom -> ", 17, "a name"),
            ("copy: tom ann -> tom ann ", 24, "the end"),
        ] {
            assert_eq!(check(body), Err(Flaw::Unparsed { at, expected }), "{body}");
        }
    }
}
