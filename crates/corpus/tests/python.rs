//! Programs of the code domain, run by Python.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use conjoint_corpus::{Corpus, Domain, Flaw, check};

fn programs(count: u64) -> Vec<String> {
    let corpus = Corpus::new(21).with_domains(&[Domain::Code]).unwrap();
    corpus.texts(0..count).map(|text| text.body).collect()
}

/// The program with its asserted answer increased by one.
fn spoil(program: &str) -> String {
    let (head, answer) = program.rsplit_once("==").unwrap();
    format!("{head}=={}", answer.parse::<i64>().unwrap() + 1)
}

/// The number of programs that Python runs without an error, or `None` if there is no Python.
fn runs_in_python(programs: &[String]) -> Option<usize> {
    let mut python =
        match Command::new("python3").arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        {
            Ok(python) => python,
            Err(error) => {
                eprintln!("skipped: python3 does not start: {error}");
                return None;
            }
        };
    // Rust and Python escape ASCII text in the same way.
    let script = format!(
        "ran = 0\nfor program in {programs:?}:\n    try:\n        exec(program, {{}})\n        ran += 1\n    \
         except AssertionError:\n        pass\nprint(ran)\n"
    );
    python.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

#[test]
fn python_agrees_with_every_program() {
    let programs = programs(400);
    if let Some(ran) = runs_in_python(&programs) {
        assert_eq!(ran, programs.len());
    }
}

#[test]
fn python_and_the_check_reject_a_wrong_answer() {
    let spoilt: Vec<_> = programs(400).iter().map(|program| spoil(program)).collect();
    for program in &spoilt {
        assert!(
            matches!(check(Domain::Code, program), Err(Flaw::WrongAnswer { .. })),
            "{program:?}"
        );
    }
    if let Some(ran) = runs_in_python(&spoilt) {
        assert_eq!(ran, 0);
    }
}
