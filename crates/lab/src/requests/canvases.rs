//! Files of texts with holes, to start trajectories from.

use std::path::Path;

use conjoint::Canvas;

use super::request::Requests;
use crate::prompt::PromptReader;
use crate::{Error, text_files};

/// Reads the texts with holes of a file of requests, each with `infill` or `infill_ids`. Their ids and seeds are not used.
/// `None` if the file has prompts.
///
/// # Errors
/// [`Error::Parameter`] for `prompts` with the line and the reason. Requests with settings of their own are rejected.
pub fn canvases(path: &Path, reader: &PromptReader<'_>) -> Result<Option<Vec<Canvas>>, Error> {
    let requests = Requests::read(path)?;
    let invalid = |number: usize, reason: String| {
        Error::parameter("prompts", path.display(), format!("line {number}: {reason}"))
    };
    let with_holes = match &requests.lines[0] {
        (_, Ok(first)) => first.has_holes(),
        // Other objects may have a prompt and other keys, such as the texts of a corpus.
        (_, Err(_)) if text_files::prompts(path).is_ok() => return Ok(None),
        (number, Err(reason)) => return Err(invalid(*number, reason.clone())),
    };
    let mut canvases = Vec::new();
    for (number, request) in requests.lines {
        let invalid = |reason: String| invalid(number, reason);
        let request = match (request, with_holes) {
            (Ok(request), _) => request,
            (Err(_), false) => continue,
            (Err(reason), true) => return Err(invalid(reason)),
        };
        if request.gen_length.is_some() || request.has_settings() {
            let reason = "expected no gen_length and no settings of sampling: all trajectories have the settings of the command";
            return Err(invalid(reason.into()));
        }
        match (request.has_holes(), with_holes) {
            (true, true) => {
                let given = request.given().map_err(invalid)?;
                let canvas = reader.canvas(&given, None);
                canvases.push(canvas.map_err(|error| invalid(error.to_string()))?);
            }
            (false, false) => {}
            (true, false) => return Err(invalid("expected a prompt, as in the first line".into())),
            (false, true) => {
                return Err(invalid("expected infill or infill_ids, as in the first line".into()));
            }
        }
    }
    Ok(with_holes.then_some(canvases))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    fn read(content: &str) -> Result<Option<Vec<Canvas>>, Error> {
        let model = Model::open(conjoint_models::tiny()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holes.jsonl");
        std::fs::write(&path, content).unwrap();
        canvases(&path, &PromptReader::new(&model))
    }

    #[test]
    fn texts_with_holes_become_canvases() {
        let lines = "{\"infill\": \"<list>[MASK*3]<eos>\", \"id\": 7, \"seed\": 1}\n{\"infill_ids\": [5, 0, 0]}\n";
        let found = read(lines).unwrap().unwrap();
        let masked: Vec<Vec<usize>> = found.iter().map(|c| c.masked().collect()).collect();
        assert_eq!(masked, [vec![1, 2, 3], vec![1, 2]]);
        assert_eq!(found.iter().map(Canvas::len).collect::<Vec<_>>(), [5, 3]);
    }

    #[test]
    fn prompts_are_no_canvases_and_faulty_lines_are_named() {
        for prompts in ["{\"prompt\": \"a\"}\n", "{\"prompt\": \"a\", \"text\": \"b\"}\n"] {
            assert!(read(prompts).unwrap().is_none());
        }
        for (line, reason) in [
            ("{\"infil\": \"[MASK]\"}", "unknown field 'infil'"),
            ("[]", "expected an object"),
            ("{\"prompt\": \"a\", \"temperature\": 0.5}", "settings of sampling"),
            ("{\"prompt\": \"a\", \"gen_length\": 5}", "gen_length"),
            ("{\"prompt\": \"a\"}\n{\"infill\": \"[MASK]\"}", "line 2: expected a prompt"),
        ] {
            let error = read(&format!("{line}\n")).unwrap_err().to_string();
            assert!(error.contains("prompts") && error.contains(reason), "{error}");
        }
        let first = "{\"infill\": \"<list>[MASK]\"}\n";
        for (line, reason) in [
            ("{\"prompt\": \"a\"}", "as in the first line"),
            ("{\"infill\": \"[MASK]\", \"top_p\": 0.9}", "settings of sampling"),
            ("{\"infill\": \"[MASK]\", \"gen_length\": 4}", "gen_length"),
            ("{\"infill\": \"[MASK*0]\"}", "[MASK*N]"),
            ("{\"infil\": \"[MASK]\"}", "infil"),
        ] {
            let error = read(&format!("{first}{line}\n")).unwrap_err().to_string();
            for part in ["prompts", "line 2", reason] {
                assert!(error.contains(part), "{error}");
            }
        }
    }
}
