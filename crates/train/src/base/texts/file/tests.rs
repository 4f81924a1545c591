use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::base::rows::TextRows;
use crate::base::testing::word_tokenizer;
use crate::base::{BaseOptions, RowForm, RowSource};

/// The ids of the letters are those of `LETTERS`.
const TOKENS: [&str; 6] = ["[MASK]", "[EOS]", "a", "b", "c", "d"];

/// A file of `content` in `dir`, with a tokenizer of four letters.
fn file(dir: &Path, content: &[u8]) -> TextFile {
    let path = dir.join("texts.txt");
    std::fs::write(&path, content).unwrap();
    TextFile { path, tokenizer: word_tokenizer(dir, &TOKENS, None), ..TextFile::default() }
}

fn tokenizer(file: &TextFile) -> TextTokenizer {
    TextTokenizer::load(&file.tokenizer, None, None).unwrap()
}

fn read(file: &TextFile, length: usize, seed: u64) -> Result<FileTexts, TrainError> {
    let run = RunOptions { progress: false, seed, workers: 2, ..RunOptions::default() };
    FileTexts::read(file, &tokenizer(file), length, &run)
}

/// `count` different texts of 1 to 8 letters.
fn many(count: usize) -> String {
    (0..count).fold(String::new(), |mut content, mut number| {
        loop {
            content.push(char::from(b"abcd"[number % 4]));
            number /= 4;
            if number == 0 {
                break;
            }
            number -= 1;
        }
        let _ = writeln!(content);
        content
    })
}

#[test]
fn every_text_is_trained_on_once_per_epoch_or_held_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), many(10_000).as_bytes());
    let texts = read(&file, 9, 1).unwrap();
    let held_out: BTreeSet<_> =
        (0..1000).map(|index| texts.text(HELD_OUT + index).unwrap()).collect();
    assert_eq!(held_out.len(), 1000, "a tenth of the texts is less than 1024");
    assert_eq!(texts.text(HELD_OUT + 1001).unwrap(), texts.text(HELD_OUT + 1).unwrap());
    let epoch = |texts: &FileTexts, epoch: u64| -> Vec<_> {
        (9000 * epoch..9000 * (epoch + 1)).map(|index| texts.text(index).unwrap()).collect()
    };
    let (first, second) = (epoch(&texts, 0), epoch(&texts, 1));
    assert_ne!(first, second);
    let distinct = |texts: &[Vec<u32>]| texts.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(distinct(&first), distinct(&second));
    assert_eq!(distinct(&first).len(), 9000);
    assert!(distinct(&first).is_disjoint(&held_out));
    let mean = first.iter().map(Vec::len).sum::<usize>() as f64 / 9000.0;
    assert!((texts.mean_length().unwrap() - mean).abs() < 1e-9);
    // The seed decides the order, but not which texts are held out.
    let other = read(&file, 9, 2).unwrap();
    assert_ne!(epoch(&other, 0), first);
    assert_eq!(other.held_out, texts.held_out);
    assert_eq!(other.identity(), texts.identity());
}

#[test]
fn another_file_can_hold_the_texts_for_validation() {
    let dir = tempfile::tempdir().unwrap();
    let validation = dir.path().join("validation.txt");
    std::fs::write(&validation, "dd\r\n\r\ncc\n").unwrap();
    let mut file = file(dir.path(), b"a\n");
    file.validation = Validation::File(validation);
    let texts = read(&file, 4, 1).unwrap();
    assert_eq!((0..3).map(|i| texts.text(i).unwrap()).collect::<Vec<_>>(), vec![vec![2]; 3]);
    let mut held_out: Vec<_> = (0..2).map(|i| texts.text(HELD_OUT + i).unwrap()).collect();
    held_out.sort();
    assert_eq!(held_out, [[4, 4], [5, 5]]);
    // Every byte of the files and of the tokenizer identifies the run.
    let identity = texts.identity().unwrap();
    std::fs::write(dir.path().join("validation.txt"), "dd\n").unwrap();
    let changed = read(&file, 4, 1).unwrap().identity().unwrap();
    let differ: Vec<_> = identity.keys().filter(|&key| identity[key] != changed[key]).collect();
    assert_eq!(differ, ["validation"]);
    word_tokenizer(dir.path(), &[&TOKENS[..], &["e"]].concat(), None);
    let changed = read(&file, 4, 1).unwrap().identity().unwrap();
    assert_ne!(identity["tokenizer"], changed["tokenizer"]);
}

#[test]
fn errors_name_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let error = |content: &[u8], length| {
        read(&file(dir.path(), content), length, 1).map(drop).unwrap_err().to_string()
    };
    let rejects = |content: &[u8], parts: &[&str]| {
        let error = error(content, 4);
        for part in [&["texts.txt"], parts].concat() {
            assert!(error.contains(part), "{error}");
        }
    };
    rejects(b"a\n\nb\xff\n", &["line 3: byte 2 (0xff)"]);
    rejects(b"a\nbxb\n", &["line 2: ", "has no token"]);
    rejects(b"a\nb[MASK]\n", &["line 2: ", "the mask token [MASK]"]);
    rejects(b"a\nb[EOS]b\n", &["line 2: ", "the end token [EOS]"]);
    rejects(b"", &["no texts"]);
    rejects(b"a\n", &["one text is too few"]);
    let long = error(b"abc\n\nabcd\nab\nabcdd\n", 4);
    let expected = "line 3 has 4 tokens, and 5 with its end token: 2 texts are too long for a length \
                    of 4; use a length of at least 6 for all";
    assert!(long.contains(expected), "{long}");
    assert!(error(b"a\n", 4).contains("one text"), "the longest possible text is no error");
    let missing = TextFile { path: dir.path().join("none.txt"), ..file(dir.path(), b"") };
    let missing = read(&missing, 4, 1).map(drop).unwrap_err().to_string();
    assert!(missing.contains("none.txt"), "{missing}");
}

#[test]
fn long_texts_can_be_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let skipping = |content: &[u8]| TextFile { skip_long: true, ..file(dir.path(), content) };
    let texts = read(&skipping(b"abc\nabcd\nab\n"), 4, 1).unwrap();
    assert_eq!(texts.ids.len(), 2);
    assert_eq!(texts.identity.get("skip_long").map(String::as_str), Some("true"));
    let none = read(&skipping(b"abcd\nabcd\n"), 4, 1).map(drop).unwrap_err().to_string();
    assert!(none.contains("all of its 2 texts are too long for a row of 4"), "{none}");
}

#[test]
fn packed_rows_begin_every_text_of_an_epoch_and_little_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), many(3000).as_bytes());
    let tokenizer = tokenizer(&file);
    let mut options = BaseOptions {
        texts: crate::base::TextSource::File(file.clone()),
        form: RowForm::Packed,
        length: 40,
        ..BaseOptions::default()
    };
    options.run.progress = false;
    let rows = TextRows::new(&tokenizer, &options).unwrap();
    let texts = read(&file, 40, 0).unwrap();
    let count = texts.tokens.div_ceil(40);
    for epoch in 0..2 {
        let mut begun = BTreeSet::new();
        let mut whole = 0;
        for index in count * epoch..count * (epoch + 1) {
            let first = texts.packed_start(index, 40);
            let row = rows.row(index).unwrap();
            assert_eq!(row.len(), 40);
            let expected: Vec<u32> = (first..first + 40)
                .flat_map(|i| [texts.text(i).unwrap(), vec![1]].concat())
                .collect();
            assert_eq!(row, expected[..40]);
            let ends = row.iter().filter(|&&id| id == 1).count() as u64;
            begun.extend(first..first + ends + u64::from(row[39] != 1));
            whole += ends;
        }
        // Texts of the next epoch may fill the last row.
        let all = 2700 * epoch..2700 * (epoch + 1);
        assert!(all.clone().all(|index| begun.contains(&index)), "epoch {epoch}");
        assert!(begun.range(all.end..).count() <= 20);
        // The end of a row cuts a text, or repeats texts of the next row.
        assert!((2700 - count..2700 + count).contains(&whole), "{whole} of 2700 in {count} rows");
    }
    assert_eq!(rows.row(HELD_OUT + 3).unwrap().len(), 40);
}
