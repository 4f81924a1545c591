//! `TeacherForced` reveals given tokens, and rejects a sequence that does not fit.

use crate::common::function_model::FunctionModel;
use conjoint_core::unmasker::TeacherForced;
use conjoint_core::{Canvas, Error, Generator};

#[test]
fn the_sequence_must_fit() {
    const MASK: u32 = 4;
    let forced = |tokens: &[u32]| {
        let model = FunctionModel::new(|_: &Canvas, _| [0.0; 4]);
        let generator = Generator::new(model).unmasker(TeacherForced::new(tokens));
        let canvas = Canvas::unconditional(3, MASK).unwrap();
        generator.run(vec![canvas], &mut ()).map(|mut outputs| outputs.remove(0).tokens)
    };
    assert_eq!(forced(&[2, 0, 1]).unwrap(), [2, 0, 1]);
    assert_eq!(forced(&[2, 0, 1, 3]).unwrap(), [2, 0, 1]);
    assert!(matches!(forced(&[2, 0]), Err(Error::IllegalMove { position: 2, .. })));
    assert!(matches!(forced(&[2, MASK, 1]), Err(Error::IllegalMove { position: 1, .. })));
    assert!(matches!(forced(&[2, 5, 1]), Err(Error::UnknownToken { token: 5, position: 1, .. })));
}
