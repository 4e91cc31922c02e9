//! Seeded random numbers: SplitMix64 and the few distributions that traffic needs.

/// A stream of random numbers; equal seeds give equal streams.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Uniform in [0, 1).
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, p: f64) -> bool {
        self.share() < p
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Log-normal with this median.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

/// A number in [0, 1) that depends only on its arguments: traits of a user that last.
pub fn trait_of(seed: u64, user: u32, which: u64) -> f64 {
    Random::new(seed ^ u64::from(user) << 20 ^ which.wrapping_mul(0xd134_2543_de82_ef95)).share()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_decide_and_moments_are_right() {
        let draw = |seed| Random::new(seed).bits();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut random = Random::new(7);
        let list: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = list.iter().sum::<f64>() / 20_000.0;
        let variance = list.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
