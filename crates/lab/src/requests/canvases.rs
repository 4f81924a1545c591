//! Files of texts with holes, to start trajectories from.

use std::path::Path;

use conjoint::Canvas;

use super::request::{Request, Requests};
use crate::Error;
use crate::prompt::PromptReader;

/// Reads the texts with holes of a file of requests, each with `infill` or `infill_ids`. Their ids and seeds are not used.
/// `None` if the first line is not such a request, as in a file of prompts.
///
/// # Errors
/// [`Error::Parameter`] for `prompts` with the line and the reason. Requests with settings of their own are rejected.
pub fn canvases(path: &Path, reader: &PromptReader<'_>) -> Result<Option<Vec<Canvas>>, Error> {
    let requests = Requests::read(path)?;
    let has_holes = |request: &Request| request.infill.is_some() || request.infill_ids.is_some();
    match requests.lines.first() {
        Some((_, Ok(first))) if has_holes(first) => {}
        _ => return Ok(None),
    }
    let canvas = |(number, request): (usize, Result<Request, String>)| {
        let invalid = |reason: String| {
            let reason = format!("line {number}: {reason}");
            Error::parameter("prompts", path.display(), reason)
        };
        let request = request.map_err(invalid)?;
        if !has_holes(&request) {
            return Err(invalid("expected infill or infill_ids, as in the first line".into()));
        }
        if request.gen_length.is_some() || request.has_settings() {
            return Err(invalid("expected no gen_length and no settings of sampling".into()));
        }
        let given = request.given().map_err(invalid)?;
        reader.canvas(&given, None).map_err(|error| invalid(error.to_string()))
    };
    requests.lines.into_iter().map(canvas).collect::<Result<_, _>>().map(Some)
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
