/// Index of a token in the model's vocabulary.
pub type TokenId = u32;
