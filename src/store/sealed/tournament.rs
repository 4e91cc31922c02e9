//! Which of some sorted inputs has the least head. Going on with one input plays only its own games
//! again: one comparison a round, without a branch, as nobody can guess who wins.

use crate::model::shelf::Part;

/// The head of an input. The least key comes first, of equal ones the newest part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its key.
    pub key: u128,
    /// Its part.
    pub part: Part,
}

/// See the module.
pub struct Tournament {
    /// Heads of the inputs, a power of two of them.
    heads: Vec<Head>,
    /// The winner of each game: the final is at 1, those before a game are at its double and next
    /// to that, the inputs themselves after all games.
    winners: Vec<u32>,
}

/// Of an input that has ended: after all others, as there is no part 0.
const ENDED: Head = Head { key: u128::MAX, part: 0 };

// === impl Head ===

impl Head {
    #[inline]
    fn is_before(&self, other: &Head) -> bool {
        (self.key < other.key) | (self.key == other.key) & (self.part >= other.part)
    }
}

// === impl Tournament ===

impl Tournament {
    /// Of inputs with these heads; one without has ended.
    pub fn new(heads: impl IntoIterator<Item = Option<Head>>) -> Self {
        let heads = heads.into_iter().map(|head| head.unwrap_or(ENDED));
        let mut heads: Vec<Head> = heads.collect();
        let count = heads.len().next_power_of_two();
        heads.resize(count, ENDED);
        let inputs = 0..count as u32;
        let mut all = Tournament { heads, winners: inputs.clone().chain(inputs).collect() };
        (1..count).rev().for_each(|game| all.play(game));
        all
    }

    /// The input with the least head, and that head; none when all have ended.
    #[inline]
    pub fn least(&self) -> Option<(usize, Head)> {
        let winner = self.winners[1] as usize;
        Some((winner, self.heads[winner])).filter(|least| least.1 != ENDED)
    }

    /// An input goes on.
    #[inline]
    pub fn replace(&mut self, input: usize, head: Option<Head>) {
        self.heads[input] = head.unwrap_or(ENDED);
        let mut game = (self.heads.len() + input) / 2;
        while game > 0 {
            self.play(game);
            game /= 2;
        }
    }

    #[inline]
    fn play(&mut self, game: usize) {
        let (one, other) = (self.winners[2 * game], self.winners[2 * game + 1]);
        let first = self.heads[one as usize].is_before(&self.heads[other as usize]);
        self.winners[game] = if first { one } else { other };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Reverse;

    proptest! {
        #[test]
        fn sorted_lists_become_one(
            mut lists in prop::collection::vec(prop::collection::vec((0u8..50, 1u8..4), 0..20), 0..40),
        ) {
            let head = |(key, part): (u8, u8)| Head { key: key.into(), part: part.into() };
            let newest_first = |one: &(u8, u8)| (one.0, Reverse(one.1));
            lists.iter_mut().for_each(|list| list.sort_unstable_by_key(newest_first));
            let mut inputs: Vec<_> = lists.iter().map(|list| list.iter().copied().map(head)).collect();
            let mut all = Tournament::new(inputs.iter_mut().map(Iterator::next));
            let mut out = Vec::new();
            while let Some((input, head)) = all.least() {
                out.push(head);
                all.replace(input, inputs[input].next());
            }
            let mut flat = lists.concat();
            flat.sort_unstable_by_key(newest_first);
            prop_assert_eq!(out, flat.into_iter().map(head).collect::<Vec<_>>());
        }
    }
}
