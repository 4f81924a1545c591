use std::path::{Path, PathBuf};

/// An error of a tokenizer or a chat template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The folder has no tokenizer.
    #[error(
        "{} has no tokenizer: expected tokenizer.json, vocab.json with merges.txt, or vocab.txt",
        folder.display()
    )]
    Absent {
        /// The folder searched.
        folder: PathBuf,
    },
    /// The folder's tokenizer has an unsupported format.
    #[error(
        "{} is a SentencePiece model, which is not supported: write a tokenizer.json beside it (in Python, \
         `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`)",
        file.display()
    )]
    SentencePiece {
        /// The file.
        file: PathBuf,
    },
    /// A tokenizer file cannot be read.
    #[error("{}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A text cannot be encoded, or ids cannot be decoded.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
    /// A text has a character without a token.
    #[error("the tokenizer has no token for {character:?} in the text")]
    UnknownCharacter {
        /// The first such character.
        character: char,
    },
    /// The folder has no chat template.
    #[error(
        "{} has no chat template: expected chat_template.jinja, or chat_template in tokenizer_config.json. A base model \
         has none: give its prompt as plain text",
        folder.display()
    )]
    NoTemplate {
        /// The folder searched.
        folder: PathBuf,
    },
    /// A chat template is invalid, or rejects the messages.
    #[error("{}: {reason}", file.display())]
    Template {
        /// The file of the template.
        file: PathBuf,
        /// The template's own reason, or the line of the syntax error.
        reason: String,
    },
}

pub(super) fn failed(error: impl ToString) -> TextError {
    TextError::Failed(error.to_string())
}

pub(super) fn unreadable(file: &Path, reason: impl ToString) -> TextError {
    TextError::Unreadable { file: file.to_owned(), reason: reason.to_string() }
}
