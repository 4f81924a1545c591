//! Ctrl-C: the first one ends the work in good order, a second one at once.

use std::process::exit;

use conjoint::CancelToken;

/// What the command exits with once it was interrupted, as a shell expects.
pub const EXIT_CODE: u8 = 130;

/// Somebody pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: what was finished is kept{0}")]
pub struct Interrupted(pub String);

/// A token that Ctrl-C cancels.
pub fn token() -> CancelToken {
    let token = CancelToken::new();
    let handled = token.clone();
    // Without a handler Ctrl-C still ends the command, only less politely.
    let _ = ctrlc::set_handler(move || {
        if handled.is_cancelled() {
            exit(i32::from(EXIT_CODE));
        }
        handled.cancel();
    });
    token
}
