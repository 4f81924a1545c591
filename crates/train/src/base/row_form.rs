//! How texts fill the rows of a base model.

/// How texts fill rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowForm {
    /// A row is one text, padded with end tokens to T positions.
    #[default]
    Padded,
    /// A row holds several texts, one after the other, each with its end token. The last one is cut at T.
    #[doc(alias = "packing")]
    Packed,
    /// A row is one text and one end token, which is never masked. Rows have different lengths.
    ///
    /// A model of such rows decodes canvases of the same form: masks, and the end token. The end is thus given, and the
    /// order of decoding does not decide the length of a text. Draw the length from the texts, as GenMol does.
    GivenEnd,
}

impl RowForm {
    /// The number of tokens at the end of a row that are never masked.
    pub(crate) fn given(self) -> usize {
        usize::from(self == Self::GivenEnd)
    }
}
