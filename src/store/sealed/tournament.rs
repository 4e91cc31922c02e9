//! Which of some sorted inputs has the least head. Going on with one input plays only its own games
//! again: one comparison a round.

/// See the module.
pub struct Tournament<K> {
    /// Heads of the inputs, a power of two of them; none when an input has ended.
    heads: Vec<Option<K>>,
    /// The winner of each game: the final is at 1, those before a game are at its double and next
    /// to that.
    winners: Vec<u32>,
}

// === impl Tournament ===

impl<K: Ord> Tournament<K> {
    /// Of inputs with these heads.
    pub fn new(heads: impl IntoIterator<Item = Option<K>>) -> Self {
        let mut heads: Vec<Option<K>> = heads.into_iter().collect();
        let count = heads.len().next_power_of_two();
        heads.resize_with(count, || None);
        let mut all = Tournament { heads, winners: vec![0; count] };
        (1..count).rev().for_each(|game| all.play(game));
        all
    }

    /// The input with the least head, and that head; none when all have ended.
    #[inline]
    pub fn least(&self) -> Option<(usize, &K)> {
        let winner = self.winner(1);
        Some((winner, self.heads[winner].as_ref()?))
    }

    /// An input goes on.
    #[inline]
    pub fn replace(&mut self, input: usize, head: Option<K>) {
        self.heads[input] = head;
        let mut game = (self.heads.len() + input) / 2;
        while game > 0 {
            self.play(game);
            game /= 2;
        }
    }

    /// Who won a game; an input itself stands where its first game would have been.
    #[inline]
    fn winner(&self, game: usize) -> usize {
        match game.checked_sub(self.heads.len()) {
            Some(input) => input,
            None => self.winners[game] as usize,
        }
    }

    #[inline]
    fn play(&mut self, game: usize) {
        let (one, other) = (self.winner(2 * game), self.winner(2 * game + 1));
        let first = match (&self.heads[one], &self.heads[other]) {
            (Some(head), Some(against)) => head <= against,
            (head, _) => head.is_some(),
        };
        self.winners[game] = if first { one } else { other } as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorted_lists_become_one(
            mut lists in prop::collection::vec(prop::collection::vec(0u8..50, 0..20), 0..40),
        ) {
            lists.iter_mut().for_each(|list| list.sort_unstable());
            let mut inputs: Vec<_> = lists.iter().map(|list| list.iter()).collect();
            let mut all = Tournament::new(inputs.iter_mut().map(Iterator::next));
            let mut out = Vec::new();
            while let Some((input, head)) = all.least() {
                out.push(**head);
                all.replace(input, inputs[input].next());
            }
            let mut flat = lists.concat();
            flat.sort_unstable();
            prop_assert_eq!(out, flat);
        }
    }
}
