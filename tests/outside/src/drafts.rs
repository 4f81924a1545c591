use conjoint::prelude::*;

/// Drafts a token at every masked position and reveals those that the policy selects.
#[derive(Clone, Default)]
pub struct Drafts {
    raw: bool,
    tokens: Vec<Drawn>,
}

impl Drafts {
    /// The confidence of a token is its probability in the filtered row.
    pub fn filtered() -> Self {
        Self::default()
    }

    /// The confidence of a token is its probability in the model's row, before any filter.
    pub fn raw() -> Self {
        Self { raw: true, ..Self::default() }
    }
}

impl Unmasker for Drafts {
    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.tokens.clear();
        for candidate in view.rows() {
            let drawn = view.draw(candidate)?;
            let confidence = match self.raw {
                true => view.raw_probability(candidate, drawn.token)?,
                false => view.probability(candidate, drawn.token)?,
            };
            view.set_confidence(candidate, confidence);
            self.tokens.push(drawn);
        }
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        for rank in 0..view.quota() {
            let candidate = view.ranked(rank);
            view.reveal(candidate, self.tokens[candidate.index()]);
        }
        Ok(Next::EndStep)
    }
}
