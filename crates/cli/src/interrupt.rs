//! Ctrl-C: the first one ends the work cleanly, the second one at once.

use std::process::exit;

use conjoint::CancelToken;

/// The exit code after an interrupt, as shells expect it.
pub const EXIT_CODE: u8 = 130;

/// The user pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: finished results are kept{0}")]
pub struct Interrupted(pub String);

/// A token that Ctrl-C cancels.
pub fn token() -> CancelToken {
    let token = CancelToken::new();
    let handled = token.clone();
    // Without a handler Ctrl-C still ends the command.
    let _ = ctrlc::set_handler(move || {
        if handled.is_cancelled() {
            exit(i32::from(EXIT_CODE));
        }
        handled.cancel();
    });
    token
}
