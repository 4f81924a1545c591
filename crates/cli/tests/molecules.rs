//! `models/molecules`, which is in the repository only. The package leaves this file out.

mod common;

use common::generate_json;

#[test]
fn a_molecule_is_drawn_in_blocks() {
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/molecules");
    let line = "--infill [MASK*31][EOS] --block-length 8 --unmasker joint:window=3 --schedule per-step:4 --num-samples 20";
    let made = generate_json(&model, line);
    let sequences = made["sequences"].as_array().unwrap();
    assert_eq!(sequences.len(), 20);
    let mut balanced = 0;
    for sequence in sequences {
        // Blocks of 8, 8, 8 and 7 positions.
        assert_eq!(sequence["denoiser_calls"], 8);
        let text = sequence["text"].as_str().unwrap();
        let string = text.strip_suffix("[EOS]").unwrap();
        assert!(!string.contains("[MASK]") && (31..60).contains(&string.len()), "{string}");
        let count = |bracket| string.matches(bracket).count();
        balanced += usize::from(count('(') == count(')'));
    }
    // Independent draws balance hardly any.
    assert!(balanced >= 8, "{balanced} of 20");
}
