//! The sequence that is being generated.

use std::ops::Range;

use crate::{Error, TokenId};

/// One sequence: its given tokens, its masked positions and its current block.
///
/// Given tokens, such as a prompt, never change. The other positions are masked until they are
/// [revealed](Canvas::reveal), and can then be [remasked](Canvas::remask). A generator works through a canvas
/// block by block, from left to right; a new canvas is one block.
///
/// ```
/// use conjoint_core::Canvas;
/// let mut canvas = Canvas::new(&[5, 9], 2, 100)?;
/// canvas.reveal(3, 7)?;
/// assert_eq!(canvas.tokens(), [5, 9, 100, 7]);
/// assert_eq!(canvas.masked().collect::<Vec<_>>(), [2]);
/// assert!(canvas.reveal(0, 1).is_err()); // the prompt
/// # Ok::<(), conjoint_core::Error>(())
/// ```
#[doc(alias = "masked sequence")]
#[doc(alias = "noisy sequence")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    tokens: Vec<TokenId>,
    given: Vec<bool>,
    mask: TokenId,
    block: Range<usize>,
    end: usize,
}

impl Canvas {
    /// Creates a prompt followed by `gen_length` masked positions.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::NothingMasked`] if `gen_length` is 0, and
    /// [`Error::IllegalMove`] if the prompt holds the mask id (see [`Canvas::infill`]).
    pub fn new(prompt: &[TokenId], gen_length: usize, mask: TokenId) -> Result<Self, Error> {
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if let Some(position) = prompt.iter().position(|&token| token == mask) {
            let reason = "the prompt holds the mask id: use `Canvas::infill` to fill holes";
            return Err(Error::IllegalMove { position, reason });
        }
        if gen_length == 0 {
            return Err(Error::NothingMasked("the generation length is 0"));
        }
        let mut tokens = prompt.to_vec();
        tokens.resize(prompt.len() + gen_length, mask);
        Self::infill(tokens, mask)
    }

    /// Creates `length` masked positions without a prompt.
    ///
    /// # Errors
    /// [`Error::NothingMasked`] if `length` is 0.
    #[doc(alias = "unconditional generation")]
    pub fn unconditional(length: usize, mask: TokenId) -> Result<Self, Error> {
        if length == 0 {
            return Err(Error::NothingMasked("the generation length is 0"));
        }
        Self::infill(vec![mask; length], mask)
    }

    /// Creates a prompt, which may be empty, followed by masked positions up to `length`.
    ///
    /// # Errors
    /// Those of [`Canvas::new`] and [`Canvas::unconditional`]; [`Error::NothingMasked`] if the prompt fills
    /// `length`.
    pub fn of_length(prompt: &[TokenId], length: usize, mask: TokenId) -> Result<Self, Error> {
        match prompt {
            [] => Self::unconditional(length, mask),
            prompt => Self::new(prompt, length.saturating_sub(prompt.len()), mask),
        }
    }

    /// Creates a sequence with holes: every token that is not `mask` is given.
    ///
    /// # Errors
    /// [`Error::NothingMasked`] if no token is `mask`.
    #[doc(alias = "infilling")]
    #[doc(alias = "fill in the middle")]
    #[doc(alias = "FIM")]
    #[doc(alias = "inpainting")]
    pub fn infill(tokens: Vec<TokenId>, mask: TokenId) -> Result<Self, Error> {
        let given: Vec<bool> = tokens.iter().map(|&token| token != mask).collect();
        let free = |given: &bool| !given;
        let (Some(first), Some(last)) = (given.iter().position(free), given.iter().rposition(free))
        else {
            return Err(Error::NothingMasked("no position holds the mask id"));
        };
        let end = tokens.len();
        Ok(Self { tokens, given, mask, block: first..last + 1, end })
    }

    /// The tokens \[T\]. Masked positions hold the mask id.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The number of positions, given ones included.
    #[allow(clippy::len_without_is_empty)] // a canvas has at least one position
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The mask id.
    pub fn mask(&self) -> TokenId {
        self.mask
    }

    /// Whether the token of a position was given, so that it never changes.
    pub fn is_given(&self, position: usize) -> bool {
        self.given.get(position).copied().unwrap_or(false)
    }

    /// Whether a position is masked.
    pub fn is_masked(&self, position: usize) -> bool {
        self.tokens.get(position) == Some(&self.mask)
    }

    /// Whether no position is masked.
    pub fn is_done(&self) -> bool {
        self.tokens.iter().all(|&token| token != self.mask)
    }

    /// The positions of the current block.
    pub fn block(&self) -> Range<usize> {
        self.block.clone()
    }

    /// One past the last position that counts: after the first generated end-of-sequence id if the generator
    /// [stops there](crate::Generator::stop_at_eos), otherwise the length.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The positions of the current block before the [end](Self::end).
    pub fn open_positions(&self) -> Range<usize> {
        self.block.start..self.block.end.min(self.end)
    }

    /// The masked positions among the [open](Self::open_positions) ones, from left to right.
    pub fn masked(&self) -> impl Iterator<Item = usize> + '_ {
        self.open_positions().filter(|&position| self.tokens[position] == self.mask)
    }

    /// The revealed positions among the [open](Self::open_positions) ones, from left to right. They can be
    /// [remasked](Self::remask).
    pub fn revealed(&self) -> impl Iterator<Item = usize> + '_ {
        self.open_positions()
            .filter(|&position| !self.given[position] && self.tokens[position] != self.mask)
    }

    /// The range from the first to the last position that was not given.
    pub fn free_span(&self) -> Range<usize> {
        let first = self.given.iter().position(|given| !given).unwrap_or(0);
        let last = self.given.iter().rposition(|given| !given).map_or(0, |last| last + 1);
        first..last
    }

    /// Returns the canvas with `block` as its current block, as a model sees it in the middle of block-wise
    /// generation.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `block` is a non-empty range of positions.
    #[must_use = "this returns a new canvas"]
    pub fn in_block(mut self, block: Range<usize>) -> Result<Self, Error> {
        if block.is_empty() || block.end > self.len() {
            let expected = format!("a non-empty range within 0..{}", self.len());
            return Err(Error::parameter("block", format!("{block:?}"), expected));
        }
        self.block = block;
        Ok(self)
    }

    /// Sets the current block.
    pub(crate) fn set_block(&mut self, block: Range<usize>) {
        debug_assert!(block.end <= self.len());
        self.block = block;
    }

    /// Sets the end.
    pub(crate) fn set_end(&mut self, end: usize) {
        debug_assert!(end <= self.len());
        self.end = end;
    }

    /// Returns the canvas with the positions `hidden` masked too, given ones included. Block and end stay the
    /// same. Positions that do not exist are ignored.
    #[must_use = "this returns a new canvas"]
    pub fn with_masked(&self, hidden: &[usize]) -> Self {
        let mut canvas = self.clone();
        for &position in hidden.iter().filter(|&&position| position < self.len()) {
            canvas.tokens[position] = self.mask;
            canvas.given[position] = false;
        }
        canvas
    }

    /// Reveals a masked position: writes `token` there.
    ///
    /// # Errors
    /// [`Error::IllegalMove`] if the position is not masked or the token is the mask id.
    pub fn reveal(&mut self, position: usize, token: TokenId) -> Result<(), Error> {
        if !self.is_masked(position) {
            let reason = match self.given.get(position) {
                None => "it cannot be revealed: the canvas has no such position",
                Some(true) => "it cannot be revealed: its token was given",
                Some(false) => "it cannot be revealed: it is revealed already",
            };
            return Err(Error::IllegalMove { position, reason });
        }
        if token == self.mask {
            return Err(Error::IllegalMove { position, reason: "the mask id cannot be revealed" });
        }
        self.tokens[position] = token;
        Ok(())
    }

    /// Remasks a revealed position.
    ///
    /// # Errors
    /// [`Error::IllegalMove`] if the position was given, is masked already or does not exist.
    #[doc(alias = "remasking")]
    pub fn remask(&mut self, position: usize) -> Result<(), Error> {
        if self.is_masked(position) || self.given.get(position) != Some(&false) {
            let reason = match self.given.get(position) {
                None => "it cannot be remasked: the canvas has no such position",
                Some(true) => "it cannot be remasked: its token was given",
                Some(false) => "it cannot be remasked: it is masked already",
            };
            return Err(Error::IllegalMove { position, reason });
        }
        self.tokens[position] = self.mask;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASK: TokenId = 9;

    #[test]
    fn invalid_canvases_are_rejected() {
        assert!(matches!(Canvas::new(&[], 4, MASK), Err(Error::EmptyPrompt)));
        assert!(matches!(Canvas::new(&[1], 0, MASK), Err(Error::NothingMasked(_))));
        assert!(matches!(Canvas::unconditional(0, MASK), Err(Error::NothingMasked(_))));
        let of_length = |prompt: &[TokenId]| Canvas::of_length(prompt, 3, MASK).unwrap();
        assert_eq!(of_length(&[]), Canvas::unconditional(3, MASK).unwrap());
        assert_eq!(of_length(&[1, 2]), Canvas::new(&[1, 2], 1, MASK).unwrap());
        for full in [2, 1] {
            let canvas = Canvas::of_length(&[1, 2], full, MASK);
            assert!(matches!(canvas, Err(Error::NothingMasked(_))), "{canvas:?}");
        }
        assert!(matches!(Canvas::infill(vec![1, 2], MASK), Err(Error::NothingMasked(_))));
        let hole = Canvas::new(&[1, MASK], 1, MASK);
        assert!(matches!(hole, Err(Error::IllegalMove { position: 1, .. })));
    }

    #[test]
    fn infilling_spans_the_holes() {
        let canvas = Canvas::infill(vec![1, MASK, 2, MASK, 3], MASK).unwrap();
        assert_eq!(canvas.free_span(), 1..4);
        assert_eq!(canvas.masked().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn given_positions_are_not_revealed() {
        let mut canvas = Canvas::infill(vec![1, MASK, 2, MASK, 3], MASK).unwrap();
        assert_eq!(canvas.revealed().count(), 0);
        canvas.reveal(3, 5).unwrap();
        assert_eq!(canvas.revealed().collect::<Vec<_>>(), [3]);
        canvas.set_block(1..3);
        assert_eq!(canvas.revealed().count(), 0);
    }

    #[test]
    fn positions_after_the_end_are_not_open() {
        let mut canvas = Canvas::new(&[1], 4, MASK).unwrap();
        canvas.reveal(2, 0).unwrap();
        canvas.reveal(4, 5).unwrap();
        canvas.set_end(3);
        assert_eq!((canvas.open_positions(), canvas.block()), (1..3, 1..5));
        assert_eq!(canvas.masked().collect::<Vec<_>>(), [1]);
        assert_eq!(canvas.revealed().collect::<Vec<_>>(), [2]);
        let hidden = canvas.with_masked(&[0, 2, 9]);
        assert_eq!((hidden.open_positions(), hidden.block()), (1..3, 1..5));
        assert_eq!(hidden.masked().collect::<Vec<_>>(), [1, 2]);
        assert!(hidden.is_masked(0) && !hidden.is_given(0));
        canvas.set_block(1..2);
        assert_eq!(canvas.open_positions(), 1..2);
    }

    #[test]
    fn a_block_is_a_range_of_positions() {
        let canvas = Canvas::new(&[1], 4, MASK).unwrap();
        let block = canvas.clone().in_block(2..4).unwrap();
        assert_eq!(block.masked().collect::<Vec<_>>(), [2, 3]);
        for bad in [2..2, 3..6] {
            let error = canvas.clone().in_block(bad).unwrap_err();
            assert!(error.to_string().contains("0..5"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn given_positions_never_change(
            tokens in prop::collection::vec(0u32..10, 1..12),
            moves in prop::collection::vec((any::<bool>(), 0usize..14, 0u32..10), 0..40),
        ) {
            prop_assume!(tokens.contains(&MASK));
            let mut canvas = Canvas::infill(tokens.clone(), MASK).unwrap();
            for (reveal, position, token) in moves {
                let before = canvas.clone();
                let result = if reveal {
                    canvas.reveal(position, token)
                } else {
                    canvas.remask(position)
                };
                if result.is_err() {
                    prop_assert_eq!(&before, &canvas);
                }
                for (position, &token) in tokens.iter().enumerate() {
                    if token != MASK {
                        prop_assert_eq!(canvas.tokens()[position], token);
                    }
                }
            }
        }
    }
}
