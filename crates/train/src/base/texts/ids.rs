//! Token ids of many texts in one array.

use std::ops::Range;

/// The ids of numbered texts, in the narrowest integers that hold them.
#[derive(Debug)]
pub(super) struct Ids {
    ids: Flat,
    /// Where each text begins, and where the last one ends.
    starts: Vec<u64>,
}

#[derive(Debug)]
enum Flat {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Ids {
    /// No texts, of ids below `vocabulary`.
    pub fn new(vocabulary: usize) -> Self {
        let ids = match vocabulary {
            0..=0x100 => Flat::U8(Vec::new()),
            0x101..=0x1_0000 => Flat::U16(Vec::new()),
            _ => Flat::U32(Vec::new()),
        };
        Self { ids, starts: vec![0] }
    }

    /// Appends a text, whose ids are below the vocabulary.
    pub fn push(&mut self, text: &[u32]) {
        match &mut self.ids {
            Flat::U8(ids) => ids.extend(text.iter().map(|&id| id as u8)),
            Flat::U16(ids) => ids.extend(text.iter().map(|&id| id as u16)),
            Flat::U32(ids) => ids.extend(text),
        }
        self.starts.push(self.tokens() + text.len() as u64);
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of tokens of all texts.
    pub fn tokens(&self) -> u64 {
        self.starts[self.len()]
    }

    fn range(&self, text: u32) -> Range<usize> {
        let text = text as usize;
        self.starts[text] as usize..self.starts[text + 1] as usize
    }

    /// The ids of text number `text`.
    pub fn text(&self, text: u32) -> Vec<u32> {
        let range = self.range(text);
        match &self.ids {
            Flat::U8(ids) => ids[range].iter().copied().map(u32::from).collect(),
            Flat::U16(ids) => ids[range].iter().copied().map(u32::from).collect(),
            Flat::U32(ids) => ids[range].to_vec(),
        }
    }

    /// The number of tokens of text number `text`.
    pub fn text_len(&self, text: u32) -> usize {
        self.range(text).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back_the_same_in_every_width() {
        for (vocabulary, most) in [(256, 255), (257, 256), (65536, 65535), (65537, 65536)] {
            let mut ids = Ids::new(vocabulary);
            let texts = [vec![0, most], vec![], vec![most, 1, 2]];
            texts.iter().for_each(|text| ids.push(text));
            assert_eq!((ids.len(), ids.tokens()), (3, 5));
            for (text, number) in texts.iter().zip(0..) {
                assert_eq!((&ids.text(number), ids.text_len(number)), (text, text.len()));
            }
        }
    }
}
