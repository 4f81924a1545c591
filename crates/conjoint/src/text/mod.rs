//! Converts text to token ids and back with a checkpoint's own tokenizer, and renders chats with its own template.

mod added;
#[cfg(feature = "chat")]
mod chat;
mod error;
mod json;
mod legacy;
mod stop;
#[cfg(test)]
mod test_folder;
mod tokenizer;

#[cfg(feature = "chat")]
pub use chat::{ChatTemplate, Message};
pub use error::TextError;
pub use stop::StopText;
pub use tokenizer::Tokenizer;
